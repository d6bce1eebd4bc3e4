//! Runs that are killed, stopped and resumed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Child;

use crate::support::{TINY, cccm, failure, log_of, refusal, run, start, tiny_student, tiny_teacher};

/// Lines of `metrics.jsonl` so far.
pub(crate) fn steps_written(run: &Path) -> usize {
    fs::read_to_string(run.join("metrics.jsonl")).map_or(0, |text| text.lines().count())
}

pub(crate) fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).into_iter().flatten();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn is_writing_a_checkpoint(run: &Path) -> bool {
    names(&run.join("checkpoints")).iter().any(|name| name.ends_with(".partial"))
}

/// Watches a child until `moment` has come, or it has ended.
pub(crate) fn wait_until(child: &mut Child, moment: impl Fn() -> bool) {
    while !moment() && child.try_wait().unwrap().is_none() {
        std::thread::yield_now();
    }
}

/// Everything about the steps that does not depend on the clock.
pub(crate) fn metrics(run: &Path) -> Vec<serde_json::Value> {
    let text = fs::read_to_string(run.join("metrics.jsonl")).unwrap();
    let of_the_clock = |name: &str| name.ends_with("secs") || name == "images_per_sec" || name == "work";
    text.lines()
        .map(|line| {
            let mut line: serde_json::Map<String, serde_json::Value> = serde_json::from_str(line).unwrap();
            line.retain(|name, _| !of_the_clock(name));
            line.into()
        })
        .collect()
}

pub(crate) fn newest_checkpoint(run: &Path) -> PathBuf {
    run.join("checkpoints").join(names(&run.join("checkpoints")).pop().unwrap())
}

/// Fails unless two finished runs are the same to the bit.
pub(crate) fn assert_same_run(a: &Path, b: &Path) {
    let read = |path: PathBuf| fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    assert!(
        read(a.join("model/model.safetensors")) == read(b.join("model/model.safetensors")),
        "the models differ"
    );
    assert_eq!(read(newest_checkpoint(a).join("SHA256SUMS")), read(newest_checkpoint(b).join("SHA256SUMS")));
    assert_eq!(metrics(a), metrics(b));
}

/// Kills a run again and again, half of the times while a checkpoint is being written, and resumes it to its end.
/// Gives how many checkpoints were cut off.
fn kill_and_resume(dir: &Path, first: &[&str], again: &[&str], run: &Path, kills: usize) -> usize {
    let (mut cut_off, mut random) = (0, 12345_u64);
    for kill in 0..kills {
        let mut child = start(dir, if kill == 0 { first } else { again });
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let wanted = steps_written(run) + 1 + (random >> 33) as usize % 5;
        wait_until(&mut child, || {
            steps_written(run) >= wanted && (kill % 2 == 0 || is_writing_a_checkpoint(run))
        });
        assert!(child.try_wait().unwrap().is_none(), "the run ended before kill {kill}");
        child.kill().unwrap();
        child.wait().unwrap();
        cut_off += usize::from(is_writing_a_checkpoint(run));
    }
    log_of(dir, again);
    cut_off
}

#[test]
fn twenty_kills_change_nothing_about_a_student() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    tiny_teacher(dir, "teacher", &[]);
    let more = [
        "--max-steps",
        "200",
        "--checkpoint-steps",
        "2",
        "--fuse-schedule",
        "piecewise 1:0",
        "--eval-steps",
        "50",
        "--sampling-ema-decay",
        "0.9",
    ];
    let args = |name| {
        let args = [
            "train",
            "--teacher",
            "teacher",
            "--data",
            "builtin:shapes",
            "--train-batch-size",
            "4",
            "--save-path",
            name,
        ];
        [&args[..], &more].concat()
    };
    run(dir, &args("whole"));
    let cut_off =
        kill_and_resume(dir, &args("killed"), &["train", "--resume", "killed"], &dir.join("killed"), 20);
    assert!(cut_off > 0, "no kill hit a checkpoint");
    assert_same_run(&dir.join("whole"), &dir.join("killed"));
    assert_eq!(names(&dir.join("killed/checkpoints")).len(), 8);
    assert_eq!(names(&dir.join("whole/grids")), names(&dir.join("killed/grids")));
}

#[test]
fn kills_change_nothing_about_a_teacher_with_dropout_accumulation_and_flips() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    let more = [
        "--max-steps",
        "60",
        "--checkpoint-steps",
        "2",
        "--gradient-accumulation-steps",
        "2",
        "--dropout",
        "0.3",
        "--flip",
        "--flip-except",
        "Circle",
    ];
    let args = |name| [&["train-teacher", "--save-path", name], &TINY[..], &more].concat();
    run(dir, &args("whole"));
    kill_and_resume(dir, &args("killed"), &["train-teacher", "--resume", "killed"], &dir.join("killed"), 4);
    assert_same_run(&dir.join("whole"), &dir.join("killed"));
    let said = refusal(dir, &["train-teacher", "--resume", "killed", "--flip-except", "Oval"]);
    assert!(said.contains("flip_except: ") && said.contains("--allow-change"), "{said}");
}

#[test]
#[cfg(unix)]
fn signals_finish_the_step_and_write_a_checkpoint() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    let args = |name| [&["train-teacher", "--save-path", name, "--max-steps", "200"], &TINY[..]].concat();
    run(dir, &args("whole"));
    let stopped = dir.join("stopped");
    let again = vec!["train-teacher", "--resume", "stopped"];
    let mut signals = vec![("INT", 130, args("stopped")), ("TERM", 143, again.clone())];
    // Under `nohup` a terminal that closes is no reason to stop.
    if !hang_up_is_ignored() {
        signals.push(("HUP", 129, again));
    }
    for (signal, code, args) in signals {
        let before = steps_written(&stopped);
        let mut child = start(dir, &args);
        wait_until(&mut child, || steps_written(&stopped) > before);
        std::process::Command::new("kill").args(["-s", signal, &child.id().to_string()]).status().unwrap();
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{said}");
        let steps = steps_written(&stopped);
        assert!(newest_checkpoint(&stopped).ends_with(format!("step-{steps:06}")), "{said}");
        assert!(
            said.contains(&format!("stopped after step {steps}")) && said.contains("--resume stopped"),
            "{said}"
        );
    }
    run(dir, &["train-teacher", "--resume", "stopped"]);
    assert!(
        fs::read(stopped.join("model/model.safetensors")).unwrap()
            == fs::read(dir.join("whole/model/model.safetensors")).unwrap()
    );
    assert_eq!(metrics(&stopped), metrics(&dir.join("whole")));
}

fn hang_up_is_ignored() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    ignored.is_none_or(|mask| mask.trim().ends_with(['1', '3', '5', '7', '9', 'b', 'd', 'f']))
}

/// As in `cccm train 2>&1 | tee log`, where Ctrl-C ends `tee`, too.
#[test]
#[cfg(unix)]
fn a_run_whose_log_nobody_reads_stops_as_any_other() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    let args = [&["train-teacher", "--save-path", "a", "--max-steps", "200"], &TINY[..]].concat();
    let mut child = start(dir, &args);
    wait_until(&mut child, || steps_written(&dir.join("a")) > 0);
    drop(child.stderr.take());
    std::process::Command::new("kill").args(["-s", "INT", &child.id().to_string()]).status().unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let steps = steps_written(&dir.join("a"));
    assert!(newest_checkpoint(&dir.join("a")).ends_with(format!("step-{steps:06}")));
}

#[test]
#[cfg(unix)]
fn a_second_ctrl_c_ends_the_run_within_the_step() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    let slow_steps = ["--train-batch-size", "1000", "--max-steps", "2"];
    let mut child = start(dir, &[&["train-teacher", "--save-path", "a"], &TINY[..], &slow_steps].concat());
    wait_until(&mut child, || dir.join("a/metrics.jsonl").is_file());
    while child.try_wait().unwrap().is_none() {
        std::process::Command::new("kill").args(["-s", "INT", &child.id().to_string()]).output().unwrap();
    }
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert_eq!((steps_written(&dir.join("a")), names(&dir.join("a/checkpoints")).len()), (0, 0));
}

#[test]
fn grids_that_a_kill_behind_the_checkpoint_prevented_are_drawn() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    let more = ["--max-steps", "4", "--checkpoint-steps", "2", "--eval-steps", "2"];
    tiny_teacher(dir, "a", &more);
    let grid = dir.join("a/grids/step-000002.png");
    let picture = fs::read(&grid).unwrap();
    for made_later in ["model", "checkpoints/step-000004", "grids"] {
        fs::remove_dir_all(dir.join("a").join(made_later)).unwrap();
    }
    run(dir, &["train-teacher", "--resume", "a"]);
    assert!(fs::read(&grid).unwrap() == picture);
}

#[test]
fn a_damaged_checkpoint_is_passed_over_with_a_warning() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    tiny_teacher(dir, "whole", &["--max-steps", "9", "--checkpoint-steps", "2"]);
    tiny_teacher(dir, "damaged", &["--max-steps", "9", "--checkpoint-steps", "2"]);
    fs::remove_dir_all(dir.join("damaged/model")).unwrap();
    fs::remove_dir_all(dir.join("damaged/checkpoints/step-000009")).unwrap();
    let file = dir.join("damaged/checkpoints/step-000008/optimizer.safetensors");
    let mut bytes = fs::read(&file).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 4;
    fs::write(&file, bytes).unwrap();
    let said = log_of(dir, &["train-teacher", "--resume", "damaged"]);
    assert!(said.contains("optimizer.safetensors") && said.contains("going on after step 6"), "{said}");
    assert_same_run(&dir.join("whole"), &dir.join("damaged"));
}

#[test]
fn a_run_without_a_whole_checkpoint_starts_anew_from_its_settings() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    tiny_teacher(dir, "a", &["--seed", "4"]);
    let model = fs::read(dir.join("a/model/model.safetensors")).unwrap();
    fs::remove_dir_all(dir.join("a/model")).unwrap();
    fs::remove_dir_all(dir.join("a/checkpoints")).unwrap();
    let said = log_of(dir, &["train-teacher", "--resume", "a"]);
    assert!(said.contains("starts anew"), "{said}");
    assert!(fs::read(dir.join("a/model/model.safetensors")).unwrap() == model);
    assert_eq!(steps_written(&dir.join("a")), 3);
}

#[test]
fn damaged_checkpoints_alone_do_not_start_a_run_anew() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    tiny_teacher(dir, "a", &[]);
    fs::write(dir.join("a/checkpoints/step-000003/state.json"), "").unwrap();
    let said = failure(dir, &["train-teacher", "--resume", "a"]);
    assert!(said.contains("none of the 1 checkpoints") && said.contains("a/checkpoints"), "{said}");
    assert_eq!(steps_written(&dir.join("a")), 3);
}

/// Cut off behind its last checkpoint, it has the model of its first end, which is not that of the second.
#[test]
fn a_run_that_is_longer_now_is_not_finished() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    tiny_teacher(dir, "a", &[]);
    let model = || fs::read(dir.join("a/model/model.safetensors")).unwrap();
    let short = model();
    let longer = ["train-teacher", "--resume", "a", "--max-steps", "5", "--allow-change"];
    // In the place of the last grid, so that the evaluation fails.
    fs::create_dir_all(dir.join("a/grids/step-000005.png/in the way")).unwrap();
    failure(dir, &longer);
    assert!(model() == short && !dir.join("a/model/README.md").exists());
    fs::remove_dir_all(dir.join("a/grids/step-000005.png")).unwrap();
    run(dir, &["train-teacher", "--resume", "a"]);
    assert!(model() != short && dir.join("a/model/README.md").is_file());
}

#[test]
fn resuming_a_finished_run_does_nothing_and_says_so() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    fs::create_dir(dir.join("runs")).unwrap();
    tiny_teacher(dir, "runs/a", &[]);
    let before = names(&dir.join("runs/a"));
    let said = log_of(dir, &["train-teacher", "--resume", "latest"]);
    assert!(said.contains("runs/a is finished"), "{said}");
    assert_eq!(names(&dir.join("runs/a")), before);
    // Killed between the last checkpoint and the model: the model alone is missing.
    let model = fs::read(dir.join("runs/a/model/model.safetensors")).unwrap();
    fs::remove_dir_all(dir.join("runs/a/model")).unwrap();
    fs::create_dir(dir.join("runs/a/model")).unwrap();
    run(dir, &["train-teacher", "--resume", "runs/a"]);
    assert!(fs::read(dir.join("runs/a/model/model.safetensors")).unwrap() == model);
    assert!(dir.join("runs/a/model/README.md").is_file());
}

#[test]
fn a_changed_setting_is_named_and_refused_unless_allowed_or_harmless() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    tiny_teacher(dir, "a", &[]);
    let says = |args: &[&str], words: &[&str]| {
        let text = refusal(dir, &[&["train-teacher", "--resume", "a"], args].concat());
        for word in words {
            assert!(text.contains(word), "{args:?} does not say `{word}`: {text}");
        }
    };
    says(&["--lr", "0.5"], &["lr: 0.0001 → 0.5", "--allow-change"]);
    says(&["--epochs", "2"], &["epochs: unset → 2", "max_steps: 3 → unset"]);
    says(&["--threads", "1"], &["threads: "]);
    says(&["--img-size", "16"], &["img_size: 8 → 16"]);

    run(dir, &["train-teacher", "--resume", "a", "--eval-steps", "7", "--train-batch-size", "4"]);
    let log = log_of(dir, &["train-teacher", "--resume", "a", "--max-steps", "5", "--allow-change"]);
    assert!(log.contains("max_steps: 3 → 5") && log.contains("from step 4 on"), "{log}");
    assert_eq!(steps_written(&dir.join("a")), 5);
    let config = |name: &str| fs::read_to_string(dir.join("a").join(name)).unwrap();
    assert!(config("config.toml").contains("max_steps = 5"));
    assert!(config("config.before-000004.toml").contains("max_steps = 3"));
    // Whoever only watches otherwise changes nothing.
    assert!(config("config.toml").contains("eval_steps = 7"));
}

#[test]
fn other_data_or_another_teacher_are_found_by_digest() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    for (name, level) in [("red_Circle/0.png", 0), ("red_Oval/0.png", 9), ("blue_Oval/1.png", 99)] {
        let path = dir.join("photos").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        image::RgbImage::from_pixel(8, 8, image::Rgb([level; 3])).save(path).unwrap();
    }
    tiny_teacher(dir, "a", &["--data", "photos"]);
    tiny_teacher(dir, "b", &["--data", "photos", "--seed", "1"]);
    let student =
        ["train", "--teacher", "a", "--data", "photos", "--max-steps", "4", "--save-path", "student"];
    run(dir, &student);

    // The same images and teacher somewhere else are the same.
    fs::rename(dir.join("photos"), dir.join("moved")).unwrap();
    fs::create_dir(dir.join("elsewhere")).unwrap();
    for file in ["model.safetensors", "config.json"] {
        fs::copy(dir.join("a/model").join(file), dir.join("elsewhere").join(file)).unwrap();
    }
    let moved = ["train", "--resume", "student", "--data", "moved", "--teacher", "elsewhere"];
    assert!(log_of(dir, &moved).contains("is finished"));

    let text = failure(dir, &["train", "--resume", "student", "--data", "moved", "--teacher", "b"]);
    assert!(text.contains("the teacher of student changed since step 4"), "{text}");
    fs::copy(dir.join("moved/red_Oval/0.png"), dir.join("moved/red_Oval/1.png")).unwrap();
    let text = failure(dir, &moved);
    assert!(text.contains("the data of student changed"), "{text}");
    log_of(dir, &[&moved[..], &["--allow-change", "--max-steps", "5"]].concat());
    assert_eq!(steps_written(&dir.join("student")), 5);
}

/// The README's way: by the time the run goes on, `runs/latest` is the run itself.
#[test]
fn a_teacher_named_by_a_link_is_found_again() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    tiny_teacher(dir, "runs/teacher", &[]);
    run(
        dir,
        &[
            "train",
            "--teacher",
            "runs/latest",
            "--data",
            "builtin:shapes",
            "--max-steps",
            "2",
            "--save-path",
            "runs/s",
        ],
    );
    let config = fs::read_to_string(dir.join("runs/s/config.toml")).unwrap();
    assert!(config.contains("teacher = \"runs/teacher\""), "{config}");
    log_of(dir, &["train", "--resume", "latest", "--max-steps", "3", "--allow-change"]);
    assert_eq!(steps_written(&dir.join("runs/s")), 3);
}

#[test]
fn the_settings_of_a_run_are_accepted_back() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    tiny_teacher(dir, "teacher", &[]);
    tiny_student(
        dir,
        "a",
        &["--fuse-schedule", "piecewise", "--fuse-args", "0.2:0.5", "0.8:0.1", "--lr", "1e-3"],
    );
    run(dir, &["train", "--config", "a/config.toml", "--save-path", "b"]);
    run(dir, &["train", "--config", "a/config.toml", "--save-path", "c", "--lr", "2e-3"]);
    let read = |name: &str| fs::read_to_string(dir.join(name).join("config.toml")).unwrap();
    assert_eq!(read("a"), read("b"));
    assert_eq!(read("a").replace("lr = 0.001", "lr = 0.002"), read("c"));
    assert_same_run(&dir.join("a"), &dir.join("b"));

    let text = refusal(dir, &["train-teacher", "--config", "a/config.toml"]);
    assert!(text.contains("a/config.toml") && text.contains("`cccm train`"), "{text}");
    assert!(refusal(dir, &["train", "--config", "nowhere.toml"]).contains("nowhere.toml"));
    assert!(refusal(dir, &["train", "--resume", "nowhere"]).contains("nowhere"));
    assert!(refusal(dir, &["train-teacher", "--resume", "a"]).contains("`cccm train`"));
    assert_eq!(cccm(dir, &["train", "--config", "a/config.toml", "--resume", "a"]).status.code(), Some(2));
    assert_eq!(cccm(dir, &["train", "--allow-change"]).status.code(), Some(2));
}

#[test]
fn one_batch_of_sixteen_is_four_of_four_to_rounding() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    tiny_teacher(dir, "teacher", &[]);
    let more = ["--lr", "1e-3", "--lr-warmup-steps", "1", "--max-steps", "4"];
    let args = |name, batch, pieces| {
        let args = ["train", "--teacher", "teacher", "--data", "builtin:shapes", "--save-path", name];
        [&args[..], &["--train-batch-size", batch, "--gradient-accumulation-steps", pieces], &more].concat()
    };
    run(dir, &args("whole", "16", "1"));
    run(dir, &args("pieces", "4", "4"));
    let weights =
        |name: &str| cccm_weights::load_weights(&dir.join(name).join("model/model.safetensors")).unwrap();
    for ((name, whole), pieces) in weights("whole").iter().zip(weights("pieces").values()) {
        let worst = (whole - pieces).unwrap().abs().unwrap().flatten_all().unwrap().max(0).unwrap();
        let worst = worst.to_scalar::<f32>().unwrap();
        assert!(worst < 1e-5, "{name} differs by {worst}");
    }
    assert_eq!(metrics(&dir.join("whole"))[0]["images"], 16);
    assert_eq!(metrics(&dir.join("pieces"))[0]["images"], 16);
}
