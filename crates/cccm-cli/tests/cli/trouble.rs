//! What goes wrong during a run.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::support::{TINY, cccm, failure, log_of, run, start, tiny_teacher};

fn draw(path: &Path, level: u8) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    image::RgbImage::from_pixel(8, 8, image::Rgb([level, 10, 200])).save(path).unwrap();
}

/// Two pairs of four pictures each.
fn draw_photos(root: &Path) {
    for index in 0..4 {
        draw(&root.join(format!("red_Oval/{index}.png")), index * 20);
        draw(&root.join(format!("blue_Oval/{index}.png")), index * 30);
    }
}

fn model(dir: &Path, run: &str) -> Vec<u8> {
    fs::read(dir.join(run).join("model/model.safetensors")).unwrap()
}

#[test]
fn a_folder_that_vanishes_stops_the_run_which_goes_on_once_it_is_back() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    draw_photos(&dir.join("photos"));
    let args = |name| {
        [&["train-teacher", "--save-path", name, "--max-steps", "300"], &TINY[..], &["--data", "photos"]]
            .concat()
    };
    run(dir, &args("whole"));
    let mut child = start(dir, &args("a"));
    // Before the first step there would be nothing to keep.
    let has_begun =
        || fs::read_to_string(dir.join("a/metrics.jsonl")).is_ok_and(|lines| lines.contains('\n'));
    while !has_begun() && child.try_wait().unwrap().is_none() {
        std::thread::yield_now();
    }
    fs::rename(dir.join("photos"), dir.join("away")).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    for word in ["cannot read the batch of step", "photos/", ".png", "--resume a"] {
        assert!(said.contains(word), "it does not say `{word}`: {said}");
    }
    let steps = fs::read_to_string(dir.join("a/metrics.jsonl")).unwrap().lines().count();
    assert!(dir.join(format!("a/checkpoints/step-{steps:06}")).is_dir(), "{said}");

    fs::rename(dir.join("away"), dir.join("photos")).unwrap();
    run(dir, &["train-teacher", "--resume", "a"]);
    assert!(model(dir, "a") == model(dir, "whole"));
}

#[test]
fn an_image_that_goes_bad_stops_the_run_or_is_counted() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    draw_photos(&dir.join("photos"));
    let file = dir.join("photos/red_Oval/2.png");
    let bytes = fs::read(&file).unwrap();
    // A header that promises what the rest does not hold.
    fs::write(&file, &bytes[..bytes.len() - 20]).unwrap();
    let said = failure(
        dir,
        &[&["train-teacher", "--save-path", "a", "--epochs", "5"], &TINY[..], &["--data", "photos"]].concat(),
    );
    assert!(said.contains("red_Oval/2.png") && said.contains("batch of step"), "{said}");
    let said = log_of(dir, &["train-teacher", "--resume", "a", "--skip-bad-images"]);
    assert!(said.contains("1 images could not be decoded"), "{said}");
}

#[test]
fn a_loss_that_explodes_stops_the_run_with_the_step_and_keeps_its_checkpoints() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    let more = ["--max-steps", "50", "--checkpoint-steps", "1", "--lr", "1e30", "--lr-schedule", "constant"];
    let args = |name, answer| {
        [&["train-teacher", "--save-path", name], &TINY[..], &more, &["--on-non-finite", answer]].concat()
    };
    let said = failure(dir, &args("stop", "stop"));
    assert!(said.contains("at step") && said.contains("learning rate"), "{said}");
    let said = failure(dir, &args("skip", "skip"));
    assert!(said.contains("is skipped") && said.contains("10 steps in a row"), "{said}");
    for run in ["stop", "skip"] {
        let mut steps: Vec<_> = fs::read_dir(dir.join(run).join("checkpoints"))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        steps.sort();
        let newest = steps.pop().unwrap();
        let sums =
            Command::new("sha256sum").args(["--check", "--quiet", "SHA256SUMS"]).current_dir(newest).status();
        assert!(sums.unwrap().success());
    }
    let metrics = fs::read_to_string(dir.join("skip/metrics.jsonl")).unwrap();
    assert!(metrics.lines().last().unwrap().contains("\"loss\":null"), "{metrics}");
}

#[test]
fn two_processes_never_train_one_run() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    let args = [&["train-teacher", "--save-path", "a", "--max-steps", "100000"], &TINY[..]].concat();
    let mut child = start(dir, &args);
    let trains = || fs::metadata(dir.join("a/metrics.jsonl")).is_ok_and(|file| file.len() > 0);
    while !trains() && child.try_wait().unwrap().is_none() {
        std::thread::yield_now();
    }
    let said = failure(dir, &["train-teacher", "--resume", "a"]);
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(said.contains("another process"), "{said}");
    // A run that has no settings yet is not taken for none.
    fs::remove_file(dir.join("a/config.toml")).unwrap();
    let said = failure(dir, &["train-teacher", "--resume", "a"]);
    assert!(said.contains("stopped before its first step"), "{said}");
}

/// Needs the right to mount a small file system, and shows nothing without.
#[test]
#[cfg(target_os = "linux")]
fn a_full_disk_stops_the_run_and_leaves_its_checkpoints() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    tiny_teacher(dir, "whole", &["--max-steps", "40", "--checkpoint-steps", "1"]);
    let disk = dir.join("disk");
    fs::create_dir(&disk).unwrap();
    let mount = Command::new("mount").args(["-t", "tmpfs", "-o", "size=5m", "tmpfs"]).arg(&disk).output();
    if !mount.is_ok_and(|output| output.status.success()) {
        return;
    }
    let _mounted = Mounted(&disk);
    let args = ["train-teacher", "--save-path", "disk/a", "--max-steps", "40", "--checkpoint-steps", "1"];
    let said = failure(dir, &[&args[..], &TINY[..]].concat());
    for word in ["No space left", "cannot report", "--resume disk/a"] {
        assert!(said.contains(word), "it does not say `{word}`: {said}");
    }
    // Once there is space again, nothing is lost.
    let grown = Command::new("mount").args(["-o", "remount,size=200m"]).arg(&disk).status();
    assert!(grown.unwrap().success());
    let said = log_of(dir, &["train-teacher", "--resume", "disk/a"]);
    assert!(said.contains("going on after step") && !said.contains("damaged"), "{said}");
    assert!(model(dir, "disk/a") == model(dir, "whole"));
}

/// Is unmounted however the test ends.
struct Mounted<'a>(&'a Path);

impl Drop for Mounted<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0).status();
    }
}

#[test]
fn flags_without_a_meaning_here_say_why() {
    let temp = tempfile::tempdir().unwrap();
    for flag in ["--local_rank", "--num-heads", "--debug"] {
        let output = cccm(temp.path(), &["train", flag, "1"]);
        assert_eq!(output.status.code(), Some(2));
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains("leave it out"), "{flag}: {said}");
    }
}
