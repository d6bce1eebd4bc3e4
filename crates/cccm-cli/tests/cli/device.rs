//! Where commands compute, and what `doctor` says about it.

use std::path::Path;

use crate::support::{cccm, refusal, run};

/// A report, and the exit code.
fn report(dir: &Path, args: &[&str]) -> (serde_json::Value, i32) {
    let output = cccm(dir, &[&["doctor", "--json"], args].concat());
    (serde_json::from_slice(&output.stdout).unwrap(), output.status.code().unwrap())
}

#[test]
fn doctor_finds_the_cpu_in_order() {
    let temp = tempfile::tempdir().unwrap();
    let (report, code) = report(temp.path(), &["--device", "cpu", "--threads", "2"]);
    assert_eq!((code, &report["problems"]), (0, &serde_json::json!([])), "{report}");
    let cpu = &report["cpu"];
    assert_eq!(cpu["threads"], 2);
    let checks = cpu["checks"].as_array().unwrap();
    assert!(checks.len() >= 7, "{cpu}");
    for check in checks {
        assert!(check["error"].as_f64().unwrap() <= check["tolerance"].as_f64().unwrap(), "{check}");
    }
    assert!(cpu["rates"].as_array().unwrap().iter().all(|rate| rate["gflops"].as_f64().unwrap() > 0.1));
    let folders = report["folders"].as_array().unwrap();
    assert!(folders.iter().all(|folder| folder["is_writable"] == true), "{report}");
    assert_eq!(std::fs::read_dir(temp.path()).unwrap().count(), 0, "it leaves something behind");
}

#[test]
fn doctor_says_it_in_words() {
    let temp = tempfile::tempdir().unwrap();
    let said = run(temp.path(), &["doctor", "--device", "cpu"]);
    for part in
        ["cpu, ", "GFLOP/s", "GroupNorm + SiLU, f32: ok", "writable", "everything that was checked works"]
    {
        assert!(said.contains(part), "no `{part}` in:\n{said}");
    }
}

#[test]
fn a_gpu_that_is_not_there_is_broken_only_when_it_is_asked_for() {
    let temp = tempfile::tempdir().unwrap();
    let (asked, code) = report(temp.path(), &["--device", "cuda:4711"]);
    assert_eq!(code, 1);
    let problem = asked["problems"][0].as_str().unwrap();
    if asked["cuda"] == false {
        assert!(problem.contains("this build computes on CPUs alone"), "{problem}");
        let (best, code) = report(temp.path(), &[]);
        assert_eq!((code, &best["problems"]), (0, &serde_json::json!([])));
        assert_eq!(best["no_gpu"], asked["problems"][0]);
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_cache_that_cannot_be_written_to_is_a_problem() {
    let temp = tempfile::tempdir().unwrap();
    let mut command = crate::support::command(temp.path(), &["doctor", "--device", "cpu"]);
    let output = command.env("XDG_CACHE_HOME", "/proc/none").output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("BROKEN: /proc/none/cccm is not writable"), "{said}");
}

#[test]
fn commands_refuse_a_device_that_is_not_there() {
    let temp = tempfile::tempdir().unwrap();
    let sample = |device| {
        refusal(
            temp.path(),
            &["sample", "--checkpoint", "builtin:teacher", "--steps", "1", "--device", device],
        )
    };
    let said = sample("cuda:4711");
    assert!(said.contains("--device cuda:4711 is not available; --device cpu needs no GPU"), "{said}");
    let said = sample("gpu");
    assert!(said.contains("no device `gpu`: there are `cpu`, `cuda`"), "{said}");
}

#[test]
fn auto_says_what_it_picked() {
    let temp = tempfile::tempdir().unwrap();
    let args = ["--checkpoint", "builtin:teacher", "--attribute", "red", "--object", "1", "--steps", "1"];
    let output = cccm(temp.path(), &[&["sample", "--device", "auto"], &args[..]].concat());
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success() && said.contains("computing on "), "{said}");
}
