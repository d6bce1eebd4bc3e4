//! Nothing lost: runs, models and pictures that something happens to.

use std::fs;
use std::path::Path;

use crate::support::{command, failure, log_of, run, tiny_teacher};

#[test]
fn a_run_whose_settings_were_replaced_does_not_go_on_as_another() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    tiny_teacher(dir, "a", &["--seed", "4", "--max-steps", "4"]);
    let config = dir.join("a/config.toml");
    let text = fs::read_to_string(&config).unwrap();
    assert!(text.contains("\nseed = 4\n"), "{text}");
    for changed in
        [text.replace("\nseed = 4\n", "\nseed = 5\n"), text.replace("\nmax_steps = 4\n", "\nmax_steps = 9\n")]
    {
        assert_ne!(changed, text);
        fs::write(&config, &changed).unwrap();
        let said = failure(dir, &["train-teacher", "--resume", "a"]);
        assert!(said.contains("config.toml") && said.contains("by digest"), "{said}");
        let said = log_of(dir, &["train-teacher", "--resume", "a", "--allow-change"]);
        assert!(said.contains("not those of its checkpoint of step 4"), "{said}");
        fs::remove_dir_all(dir.join("a")).unwrap();
        tiny_teacher(dir, "a", &["--seed", "4", "--max-steps", "4"]);
    }
    // Bookkeeping decides no weights.
    let changed = text.replace("\neval_interval = 2\n", "\neval_interval = 1\n");
    assert_ne!(changed, text);
    fs::write(&config, changed).unwrap();
    log_of(dir, &["train-teacher", "--resume", "a"]);
}

#[test]
fn an_empty_line_among_the_metrics_deletes_nothing() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    tiny_teacher(dir, "a", &[]);
    let metrics = dir.join("a/metrics.jsonl");
    let text = fs::read_to_string(&metrics).unwrap();
    fs::write(&metrics, text.replacen('\n', "\n\n", 1)).unwrap();
    run(dir, &["train-teacher", "--resume", "a", "--max-steps", "5", "--allow-change"]);
    let lines = fs::read_to_string(&metrics).unwrap();
    assert_eq!(lines.lines().filter(|line| !line.is_empty()).count(), 5, "{lines}");
}

#[test]
#[cfg(unix)]
fn a_link_in_the_place_of_the_metrics_is_not_followed() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    tiny_teacher(dir, "a", &[]);
    fs::write(dir.join("precious"), "mine").unwrap();
    fs::remove_file(dir.join("a/metrics.jsonl")).unwrap();
    std::os::unix::fs::symlink(dir.join("precious"), dir.join("a/metrics.jsonl")).unwrap();
    let said = failure(dir, &["train-teacher", "--resume", "a"]);
    assert!(said.contains("metrics.jsonl"), "{said}");
    assert_eq!(fs::read_to_string(dir.join("precious")).unwrap(), "mine");
}

/// Files by name, with what is in them.
fn contents(dir: &Path) -> Vec<(String, Vec<u8>)> {
    let entry = |entry: std::io::Result<fs::DirEntry>| {
        let path = entry.unwrap().path();
        (path.file_name().unwrap().to_string_lossy().into_owned(), fs::read(path).unwrap())
    };
    let mut contents: Vec<_> = fs::read_dir(dir).unwrap().map(entry).collect();
    contents.retain(|(name, _)| !name.starts_with('.'));
    contents.sort();
    contents
}

#[test]
#[cfg(unix)]
fn a_conversion_onto_a_model_that_finds_no_room_leaves_the_old_model() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    tiny_teacher(dir, "a", &["--seed", "1"]);
    tiny_teacher(dir, "b", &["--seed", "2", "--dropout", "0.3"]);
    let before = contents(&dir.join("a/model"));
    let convert = ["convert", "b/model/model.safetensors", "a/model"];
    // Whatever is longer than this many blocks ends the process, in the middle of writing the weights.
    let limited = format!("ulimit -f 16; exec \"$0\" {}", convert.join(" "));
    let program = command(dir, &[]).get_program().to_owned();
    let status =
        std::process::Command::new("sh").arg("-c").arg(limited).arg(program).current_dir(dir).status();
    assert!(!status.unwrap().success());
    assert!(contents(&dir.join("a/model")) == before, "a part of the old model was replaced");
    run(dir, &convert);
    let after = contents(&dir.join("a/model"));
    assert!(after != before);
    assert_eq!(
        after.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(),
        ["README.md", "config.json", "model.safetensors", "model.safetensors.sha256"]
    );
}

#[test]
fn weights_under_the_config_of_others_are_refused_by_name() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    tiny_teacher(dir, "a", &["--seed", "1"]);
    tiny_teacher(dir, "b", &["--seed", "2", "--dropout", "0.3"]);
    fs::copy(dir.join("b/model/config.json"), dir.join("a/model/config.json")).unwrap();
    let sample =
        |place| ["sample", "--checkpoint", place, "--attribute", "red", "--object", "Oval", "--steps", "1"];
    let said = failure(dir, &sample("a"));
    assert!(said.contains("a/model/config.json is not as it was written"), "{said}");
    // Of a checkpoint, too.
    let step = "checkpoints/step-000003";
    fs::copy(dir.join("b").join(step).join("config.json"), dir.join("a").join(step).join("config.json"))
        .unwrap();
    let place = format!("a/{step}");
    let said = failure(dir, &sample(&place));
    assert!(said.contains("SHA256SUMS"), "{said}");
    // Models of before there were lists have none.
    fs::remove_file(dir.join("a/model/model.safetensors.sha256")).unwrap();
    run(dir, &sample("a"));
}

#[test]
fn pictures_do_not_say_where_they_were_made() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    tiny_teacher(dir, "secret-place", &[]);
    let (checkpoint, out) = (dir.join("secret-place"), dir.join("elsewhere/red.png"));
    let (checkpoint, out) = (checkpoint.to_str().unwrap(), out.to_str().unwrap());
    let args = [
        "sample",
        "--checkpoint",
        checkpoint,
        "--attribute",
        "red",
        "--object",
        "Oval",
        "--steps",
        "1",
        "--out",
        out,
    ];
    assert!(run(dir, &args).contains(checkpoint), "the terminal is told");
    let bytes = fs::read(out).unwrap();
    let holds = |text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
    assert!(holds("\"checkpoint\":\"secret-place\"") && holds("\"file\":\"red.png\""));
    assert!(!holds(dir.to_str().unwrap()) && !holds("elsewhere"));
}

#[test]
fn of_two_starts_at_one_place_one_is_refused() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    let args = |seed: &'static str| {
        let more = ["train-teacher", "--save-path", "a", "--max-steps", "3", "--seed", seed];
        [&more, &crate::support::TINY[..]].concat()
    };
    let children = ["1", "2", "3"].map(|seed| (seed, crate::support::start(dir, &args(seed))));
    let ended = children.map(|(seed, child)| (seed, child.wait_with_output().unwrap()));
    let won: Vec<&str> =
        ended.iter().filter(|(_, out)| out.status.success()).map(|(seed, _)| *seed).collect();
    assert_eq!(won.len(), 1);
    let config = fs::read_to_string(dir.join("a/config.toml")).unwrap();
    assert!(config.contains(&format!("\nseed = {}\n", won[0])), "{config}");
    assert_eq!(fs::read_to_string(dir.join("a/metrics.jsonl")).unwrap().lines().count(), 3);
}
