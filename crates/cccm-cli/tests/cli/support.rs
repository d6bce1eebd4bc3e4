//! Running the command.

use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use assert_cmd::cargo::cargo_bin;

pub(crate) fn command(dir: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(cargo_bin("cccm"));
    // Classifiers are kept there.
    command.env("XDG_CACHE_HOME", dir.join("cache"));
    command.current_dir(dir).args(args).stdin(Stdio::null());
    command
}

pub(crate) fn cccm(dir: &Path, args: &[&str]) -> Output {
    command(dir, args).output().unwrap()
}

/// Runs a command that has to succeed; gives what it printed.
pub(crate) fn run(dir: &Path, args: &[&str]) -> String {
    let output = cccm(dir, args);
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Runs a command that has to succeed; gives what it said on the way.
pub(crate) fn log_of(dir: &Path, args: &[&str]) -> String {
    let output = cccm(dir, args);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{args:?}: {said}");
    said
}

/// Starts a command, and goes on.
pub(crate) fn start(dir: &Path, args: &[&str]) -> Child {
    command(dir, args).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
}

/// What a failed command says, once it is sure that it failed with 1 and left nothing behind.
pub(crate) fn refusal(dir: &Path, args: &[&str]) -> String {
    let before = std::fs::read_dir(dir).unwrap().count();
    let said = failure(dir, args);
    assert_eq!(std::fs::read_dir(dir).unwrap().count(), before, "{args:?} left something behind");
    said
}

/// What a command says that failed with 1.
pub(crate) fn failure(dir: &Path, args: &[&str]) -> String {
    let output = cccm(dir, args);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{args:?}: {said}");
    said
}

/// Flags of a teacher small enough for a test.
pub(crate) const TINY: [&str; 15] = [
    "--data",
    "builtin:shapes",
    "--img-size",
    "8",
    "--emb-size",
    "8",
    "--norm-groups",
    "4",
    "--channel-mult",
    "1",
    "2",
    "--num-res-blocks",
    "1",
    "--train-batch-size",
    "4",
];

pub(crate) fn tiny_teacher(dir: &Path, name: &str, more: &[&str]) {
    let args = [&["train-teacher", "--max-steps", "3", "--save-path", name], &TINY[..], more].concat();
    run(dir, &args);
}

pub(crate) fn tiny_student(dir: &Path, name: &str, more: &[&str]) {
    let args = [
        "train",
        "--teacher",
        "teacher",
        "--data",
        "builtin:shapes",
        "--max-steps",
        "3",
        "--save-path",
        name,
    ];
    run(dir, &[&args[..], &["--train-batch-size", "4"], more].concat());
}
