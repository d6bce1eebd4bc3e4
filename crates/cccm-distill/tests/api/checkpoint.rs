//! Checkpoint directories.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::Result;
use cccm_distill::{Checkpoint, CheckpointFolder, DistillConfig, Error, TrainState};

use crate::toy::{batch, values};
use crate::trainer::{config, distil, start};

fn after_steps(steps: u64) -> Checkpoint {
    let digests = BTreeMap::from([("data".to_owned(), "1234".to_owned())]);
    distil(&config(9), &DistillConfig::default(), &start(), |trainer| {
        for i in 0..steps {
            trainer.step(&batch(i, 4)).unwrap();
        }
        Checkpoint::of(trainer, digests).unwrap()
    })
}

fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    assert_eq!(after_steps(5), after_steps(5));
    assert_ne!(after_steps(5), after_steps(6));
}

#[test]
fn it_holds_weights_moments_state_and_digests() -> Result<()> {
    let vars = start();
    let temp = tempfile::tempdir()?;
    let dir = temp.path().join("checkpoints/step-000006");
    let moments = distil(&config(9), &DistillConfig::default(), &vars, |trainer| -> Result<_> {
        (0..6).try_for_each(|i| trainer.step(&batch(i, 4)).map(drop))?;
        Checkpoint::of(trainer, BTreeMap::new())?.with_file("config.json", b"{}".to_vec())?.write(&dir)?;
        Ok(trainer.optimizer().state()?)
    })?;
    let files = [
        "SHA256SUMS",
        "config.json",
        "optimizer.safetensors",
        "state.json",
        "student.safetensors",
        "target.safetensors",
    ];
    assert_eq!(names(&dir), files);
    assert_eq!(names(&temp.path().join("checkpoints")), ["step-000006"]);

    let read = |name: &str| candle_core::safetensors::load(dir.join(name), &candle_core::Device::Cpu);
    for (name, vars) in [("student.safetensors", &vars.0), ("target.safetensors", &vars.1)] {
        let tensors = read(name)?;
        let stored: Vec<f32> = vars.keys().flat_map(|name| tensors[name].to_vec1::<f32>().unwrap()).collect();
        assert_eq!(stored, values(vars));
    }
    let stored = read("optimizer.safetensors")?;
    assert_eq!(stored.len(), 2 * moments.len());
    for (name, moments) in &moments {
        assert_eq!(stored[&format!("m.{name}")].to_vec1::<f32>()?, moments.m.to_vec1::<f32>()?);
        assert_eq!(stored[&format!("v.{name}")].to_vec1::<f32>()?, moments.v.to_vec1::<f32>()?);
    }
    // An epoch has 4 steps: the next is the third of the second.
    let state: TrainState = serde_json::from_slice(&fs::read(dir.join("state.json"))?)?;
    let want = TrainState {
        step: 6,
        epoch: 2,
        next_batch: 2,
        updates: 6,
        skipped_in_a_row: 0,
        train: config(9),
        digests: BTreeMap::new(),
    };
    assert_eq!(state, want);
    Ok(())
}

#[test]
fn tensors_are_sorted_and_without_metadata() -> Result<()> {
    let checkpoint = after_steps(1);
    let (_, header) = safetensors::SafeTensors::read_metadata(&checkpoint.files()["student.safetensors"])?;
    assert!(header.metadata().is_none());
    assert_eq!(header.offset_keys(), ["guide", "label_0", "label_1", "scale"]);
    Ok(())
}

#[test]
#[cfg(target_os = "linux")]
fn sha256sum_agrees() -> Result<()> {
    let temp = tempfile::tempdir()?;
    let dir = temp.path().join("step-000002");
    after_steps(2).write(&dir)?;
    let check =
        Command::new("sha256sum").args(["--check", "--strict", "SHA256SUMS"]).current_dir(&dir).output()?;
    let said = String::from_utf8(check.stdout)?;
    assert!(check.status.success(), "{said}");
    assert_eq!(said.lines().count(), names(&dir).len() - 1);
    Ok(())
}

#[test]
fn a_failed_write_leaves_nothing_new_and_everything_old() -> Result<()> {
    let temp = tempfile::tempdir()?;
    let dir = temp.path().join("step-000002");
    // A name longer than file systems take: found only once the files before it are written.
    let too_long = "z".repeat(300);
    let failing = after_steps(2).with_file(&too_long, vec![])?;
    assert!(matches!(failing.write(&dir), Err(Error::Io { action: "write", .. })));
    assert!(names(temp.path()).is_empty());

    let old = after_steps(1);
    old.write(&dir)?;
    assert!(failing.write(&dir).is_err());
    assert_eq!(names(temp.path()), ["step-000002"]);
    assert_eq!(&fs::read(dir.join("student.safetensors"))?, &old.files()["student.safetensors"]);
    Ok(())
}

#[test]
fn a_checkpoint_of_the_same_name_is_replaced_whole() -> Result<()> {
    let temp = tempfile::tempdir()?;
    let dir = temp.path().join("step-000002");
    after_steps(1).with_file("config.json", vec![])?.write(&dir)?;
    // What a killed run leaves behind.
    fs::create_dir(temp.path().join(".step-000002.partial"))?;
    fs::write(temp.path().join(".step-000002.partial/junk"), "")?;
    let new = after_steps(2);
    new.write(&dir)?;
    CheckpointFolder::new(temp.path()).prune(2, 1)?;
    assert_eq!(names(temp.path()), ["step-000002"]);
    assert_eq!(&fs::read(dir.join("student.safetensors"))?, &new.files()["student.safetensors"]);
    assert!(!dir.join("config.json").exists() && !dir.join("junk").exists());
    Ok(())
}

#[test]
fn names_that_will_not_do_are_refused() {
    for bad in ["", "../config.json", "a/b", ".hidden", "SHA256SUMS", "state.json", "new\nline"] {
        let error = after_steps(0).with_file(bad, vec![]).unwrap_err();
        assert!(matches!(&error, Error::CheckpointFile { name, .. } if name == bad), "{error}");
    }
    // Never a real directory: a bug in here would empty it.
    assert!(matches!(after_steps(0).write(Path::new("")), Err(Error::Io { .. })));
}
