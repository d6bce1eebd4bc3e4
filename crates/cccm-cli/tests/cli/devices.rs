//! Several processes that train one model.

use std::fs;
use std::path::Path;
use std::process::Child;

use crate::resume::{assert_same_run, metrics, names, newest_checkpoint, steps_written, wait_until};
use crate::support::{TINY, cccm, failure, log_of, refusal, run, start, tiny_teacher};

/// Two processes with two images each.
const TWO: [&str; 4] = ["--devices", "cpu,cpu", "--train-batch-size", "2"];

fn teacher<'a>(name: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&["train-teacher", "--save-path", name], &TINY[..], &TWO, more].concat()
}

/// Process ids of a process's children.
#[cfg(target_os = "linux")]
fn children(process: &Child) -> Vec<String> {
    let id = process.id();
    let list = fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap_or_default();
    list.split_whitespace().map(str::to_owned).collect()
}

/// Whether a process is there, and has not ended.
#[cfg(target_os = "linux")]
fn runs(id: &str) -> bool {
    let status = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    status.rsplit(')').next().is_some_and(|rest| !rest.is_empty() && !rest.trim_start().starts_with('Z'))
}

fn kill(signal: &str, id: &str) {
    std::process::Command::new("kill").args(["-s", signal, id]).status().unwrap();
}

/// Waits for the end of a process; gives its exit code and what it said.
fn end_of(child: Child) -> (Option<i32>, String) {
    let output = child.wait_with_output().unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn two_processes_of_eight_are_one_of_sixteen_to_rounding() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    tiny_teacher(dir, "teacher", &[]);
    // The published distance has a kink at 0.001, where rounding shows in the fourth digit of a gradient.
    let more = ["--lr", "1e-3", "--lr-warmup-steps", "1", "--max-steps", "4", "--huber-c", "0.1", "--flip"];
    let args = |name, batch, devices: &[&'static str]| {
        let args = ["train", "--teacher", "teacher", "--data", "builtin:shapes", "--save-path", name];
        [&args[..], &["--train-batch-size", batch], devices, &more].concat()
    };
    run(dir, &args("one", "16", &["--device", "cpu"]));
    let log = log_of(dir, &args("two", "8", &["--devices", "cpu,cpu"]));
    assert!(log.contains("4 steps of 16 images on 2 devices"), "{log}");
    let weights =
        |name: &str| cccm_weights::load_weights(&dir.join(name).join("model/model.safetensors")).unwrap();
    for ((name, one), two) in weights("one").iter().zip(weights("two").values()) {
        let worst = (one - two).unwrap().abs().unwrap().flatten_all().unwrap().max(0).unwrap();
        let worst = worst.to_scalar::<f32>().unwrap();
        assert!(worst < 1e-5, "{name} differs by {worst}");
    }
    for (one, two) in metrics(&dir.join("one")).iter().zip(metrics(&dir.join("two"))) {
        for name in ["step", "images", "lr", "c_t"] {
            assert_eq!(one[name], two[name]);
        }
        for name in ["loss", "grad_norm", "teacher_part", "data_part"] {
            let (one, two) = (one[name].as_f64().unwrap(), two[name].as_f64().unwrap());
            assert!((one - two).abs() <= 1e-4 * one, "{name}: {two} instead of {one}");
        }
    }
    // One process alone writes.
    assert_eq!(names(&dir.join("one")).len(), names(&dir.join("two")).len());
    assert_eq!(names(&dir.join("one/grids")), names(&dir.join("two/grids")));
}

#[test]
#[cfg(target_os = "linux")]
fn killed_and_resumed_a_run_of_two_processes_is_the_same_to_the_bit() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    let more = ["--max-steps", "30", "--checkpoint-steps", "2", "--dropout", "0.3"];
    run(dir, &teacher("whole", &more));
    let killed = dir.join("killed");
    let mut child = start(dir, &teacher("killed", &more));
    wait_until(&mut child, || steps_written(&killed) >= 5);
    let others = children(&child);
    assert_eq!(others.len(), 1);
    child.kill().unwrap();
    child.wait().unwrap();
    while runs(&others[0]) {
        std::thread::yield_now();
    }
    log_of(dir, &["train-teacher", "--resume", "killed"]);
    assert_same_run(&dir.join("whole"), &killed);
    let said = refusal(dir, &["train-teacher", "--resume", "killed", "--devices", "cpu,cpu,cpu"]);
    assert!(said.contains("devices: ") && said.contains("--allow-change"), "{said}");
    assert!(log_of(dir, &["train-teacher", "--resume", "killed"]).contains("killed is finished"));
}

#[test]
#[cfg(target_os = "linux")]
fn ctrl_c_ends_all_processes_behind_one_checkpoint() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    let stopped = dir.join("stopped");
    let mut child = start(dir, &teacher("stopped", &["--max-steps", "400"]));
    wait_until(&mut child, || steps_written(&stopped) > 2);
    let others = children(&child);
    // To all of them, as some launchers do; the others wait for what the first one says.
    kill("TERM", &others[0]);
    kill("INT", &child.id().to_string());
    let (code, said) = end_of(child);
    assert_eq!(code, Some(130), "{said}");
    let steps = steps_written(&stopped);
    assert!(said.contains(&format!("stopped after step {steps}")), "{said}");
    assert!(newest_checkpoint(&stopped).ends_with(format!("step-{steps:06}")), "{said}");
    assert_eq!(names(&stopped.join("checkpoints")).len(), 1);
    assert!(!runs(&others[0]) && !said.contains("ERROR"), "{said}");
}

#[test]
#[cfg(target_os = "linux")]
fn a_process_that_dies_ends_the_others_behind_a_checkpoint() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    let run = dir.join("a");
    let mut child = start(dir, &teacher("a", &["--max-steps", "400"]));
    wait_until(&mut child, || steps_written(&run) > 2);
    kill("KILL", &children(&child)[0]);
    let (code, said) = end_of(child);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("worker 1 is gone") && said.contains("--resume"), "{said}");
    assert!(newest_checkpoint(&run).ends_with(format!("step-{:06}", steps_written(&run))), "{said}");
}

#[test]
fn what_one_process_cannot_read_ends_all_and_is_said_once() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    for name in ["red_Oval/0.png", "red_Oval/1.png", "blue_Oval/0.png", "blue_Oval/1.png"] {
        let path = dir.join("photos").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        image::RgbImage::from_pixel(8, 8, image::Rgb([9, 99, 199])).save(path).unwrap();
    }
    let damaged = dir.join("photos/red_Oval/1.png");
    let bytes = fs::read(&damaged).unwrap();
    fs::write(&damaged, &bytes[..bytes.len() - 20]).unwrap();
    let said =
        failure(dir, &teacher("a", &["--data", "photos", "--max-steps", "40", "--train-batch-size", "1"]));
    assert!(said.contains("a stopped; once the cause is fixed, go on with --resume a"), "{said}");
    assert_eq!(said.matches("red_Oval/1.png").count(), 1, "{said}");
    if said.contains("worker{rank=1}") {
        assert!(said.contains("1 of 2 workers failed"), "{said}");
    }
}

#[test]
fn devices_that_do_not_go_together_are_refused() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    let says = |dir: &Path, devices: &str, word: &str| {
        let said = refusal(dir, &["train-teacher", "--save-path", "a", "--devices", devices]);
        assert!(said.contains(word), "{devices}: {said}");
    };
    says(dir, "0,0", "twice");
    says(dir, "0,cpu", "same kind");
    says(dir, "gpu", "no device `gpu` in --devices");
    if !cccm_runtime::CUDA_IN_BUILD {
        says(dir, "0,1", "this build computes on CPUs alone");
    }
    let both = cccm(dir, &["train", "--device", "cpu", "--devices", "cpu,cpu"]);
    assert_eq!(both.status.code(), Some(2));
}
