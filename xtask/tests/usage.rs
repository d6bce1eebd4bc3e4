//! What the program does without a task to do.

use std::process::Command;

#[test]
fn without_a_known_task_it_shows_them_and_exits_2() {
    for args in [&[][..], &["verfiy"], &["verify", "--fast"]] {
        let out = Command::new(env!("CARGO_BIN_EXE_xtask")).args(args).output().unwrap();
        let text = String::from_utf8(out.stderr).unwrap();
        assert_eq!(out.status.code(), Some(2), "{args:?}");
        assert!(text.starts_with("usage: cargo xtask TASK\n") && text.contains("verify"), "{text}");
        assert!(out.stdout.is_empty());
    }
}

#[test]
fn bench_refuses_an_unknown_name_with_the_known_ones_and_exits_2() {
    let out = Command::new(env!("CARGO_BIN_EXE_xtask")).args(["bench", "--size", "M"]).output().unwrap();
    let text = String::from_utf8(out.stderr).unwrap();
    assert_eq!(out.status.code(), Some(2));
    assert_eq!(text, "error: `--size M` is unknown; known are S, L64, L128\n");
    assert!(out.stdout.is_empty());
}

#[test]
fn what_cannot_be_tried_is_refused_with_what_can() {
    for (args, words) in [
        (&["faults", "sample"][..], "there is no `sample` to try: train, convert"),
        (&["faults", "kill 1 rename out/config.json"], "one try of one command"),
        (&["soundness", "valgrind"], "there is no `valgrind`: miri, asan"),
    ] {
        let out = Command::new(env!("CARGO_BIN_EXE_xtask")).args(args).output().unwrap();
        let text = String::from_utf8(out.stderr).unwrap();
        assert!(out.status.code() == Some(1) && text.contains(words), "{args:?}: {text}");
    }
}
