//! Going on from a checkpoint, and what is done about damaged ones.

use std::collections::BTreeMap;
use std::fs;
use std::ops::ControlFlow;
use std::path::Path;

use anyhow::Result;
use cccm_distill::{
    Averaging, BoxError, Checkpoint, CheckpointFolder, CheckpointWriter, DistillConfig, Distillation, Error,
    LabelSpace, MovingAverage, Networks, OnNonFinite, Reporter, Span, StepReport, TrainBatch, TrainConfig,
    Trainer, TrainerParts,
};
use cccm_sched::FuseSchedule;

use crate::toy::{NULL_LABELS, Toy, batch, broken_batch, schedule, values, weights};
use crate::trainer::{config, distil, parts, start};

/// Batches by step, some of them broken; a step is skipped for each.
fn batch_with_breaks(step: u64) -> TrainBatch {
    if step % 4 == 2 { broken_batch() } else { batch(step, 4) }
}

fn skipping(steps: u64) -> TrainConfig {
    TrainConfig { on_non_finite: OnNonFinite::Skip, ..config(steps) }
}

fn steps(trainer: &mut Trainer<'_>, until: u64) -> Result<(), Error> {
    (trainer.steps_done()..until).try_for_each(|step| trainer.step(&batch_with_breaks(step)).map(drop))
}

fn checkpoint_after(until: u64) -> Checkpoint {
    checkpoint_of(&DistillConfig::default(), until)
}

fn checkpoint_of(cfg: &DistillConfig, until: u64) -> Checkpoint {
    distil(&skipping(20), cfg, &start(), |trainer| {
        steps(trainer, until).unwrap();
        Checkpoint::of(trainer, BTreeMap::new()).unwrap()
    })
}

#[test]
fn a_resumed_run_is_the_uninterrupted_run_to_the_bit() -> Result<()> {
    for sampling_ema_decay in [None, Some(0.8)] {
        let cfg = DistillConfig { sampling_ema_decay, ..DistillConfig::default() };
        let temp = tempfile::tempdir()?;
        let whole = checkpoint_of(&cfg, 13);
        assert_eq!(whole.files().contains_key("sampling.safetensors"), sampling_ema_decay.is_some());
        for interrupted in [1, 3, 4, 7] {
            let dir = temp.path().join(format!("step-{interrupted}"));
            checkpoint_of(&cfg, interrupted).write(&dir)?;
            // Other weights than those of the checkpoint: all of them have to be replaced.
            let elsewhere = (weights(8), weights(9));
            let resumed = distil(&skipping(20), &cfg, &elsewhere, |trainer| -> Result<_> {
                Checkpoint::read(&dir)?.restore(trainer)?;
                assert_eq!(trainer.steps_done(), interrupted);
                assert_eq!(trainer.position(), (interrupted / 4, interrupted % 4));
                steps(trainer, 13)?;
                Ok(Checkpoint::of(trainer, BTreeMap::new())?)
            })?;
            assert_eq!(resumed, whole, "interrupted after {interrupted}");
        }
    }
    Ok(())
}

#[test]
fn a_checkpoint_without_an_average_that_is_to_go_on_changes_nothing() {
    let checkpoint = checkpoint_after(3);
    let slow = DistillConfig { sampling_ema_decay: Some(0.8), ..DistillConfig::default() };
    let vars = start();
    distil(&skipping(20), &slow, &vars, |trainer| {
        let error = checkpoint.restore(trainer).unwrap_err();
        let is_named = |error: &Error| matches!(error, Error::CheckpointContent { file, .. } if file == "sampling.safetensors");
        assert!(is_named(&error), "{error}");
        assert_eq!(trainer.steps_done(), 0);
    });
    assert_eq!(values(&vars.0), values(&start().0));
}

#[test]
fn a_checkpoint_is_read_back_as_it_was_written() -> Result<()> {
    let temp = tempfile::tempdir()?;
    let dir = temp.path().join("step-000005");
    let written = checkpoint_after(5).with_file("config.json", b"{}".to_vec())?;
    written.write(&dir)?;
    assert_eq!(Checkpoint::read(&dir)?, written);
    assert_eq!((written.state().step, written.state().updates), (5, 4));
    Ok(())
}

const FILES: [&str; 6] = [
    "SHA256SUMS",
    "config.json",
    "optimizer.safetensors",
    "state.json",
    "student.safetensors",
    "target.safetensors",
];

#[test]
fn every_damage_is_named_and_the_checkpoint_before_is_used() -> Result<()> {
    type Damage = fn(&Path, &Path) -> std::io::Result<()>;
    let damages: [(&str, Damage); 6] = [
        ("truncated", |file, _| {
            let bytes = fs::read(file)?;
            fs::write(file, &bytes[..bytes.len() - 1])
        }),
        ("half of it", |file, _| {
            let bytes = fs::read(file)?;
            fs::write(file, &bytes[..bytes.len() / 2])
        }),
        ("one byte flipped", |file, _| {
            let mut bytes = fs::read(file)?;
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            fs::write(file, bytes)
        }),
        ("missing", |file, _| fs::remove_file(file)),
        ("empty", |file, _| fs::write(file, "")),
        ("of another step", |file, other| fs::copy(other, file).map(drop)),
    ];
    for (what, damage) in damages {
        for file in FILES {
            let temp = tempfile::tempdir()?;
            let folder = CheckpointFolder::new(temp.path());
            for step in [3, 5] {
                let config = format!("{{\"step\":{step}}}").into_bytes();
                checkpoint_after(step).with_file("config.json", config)?.write(&folder.path(step))?;
            }
            let (damaged, other) = (folder.path(5).join(file), folder.path(3).join(file));
            damage(&damaged, &other)?;
            match Checkpoint::read(&folder.path(5)) {
                // A list that lost its last line, or belongs elsewhere, shows at the files that it is about.
                Err(Error::DamagedCheckpoint { path, .. }) if file == "SHA256SUMS" => {
                    assert!(path.starts_with(folder.path(5)), "{what} {file}: {}", path.display());
                }
                Err(Error::DamagedCheckpoint { path, .. }) => assert_eq!(path, damaged, "{what}"),
                other => panic!("{what} {file}: {other:?}"),
            }
            let found = folder.newest_whole()?.map(|checkpoint| checkpoint.state().step);
            assert_eq!(found, Some(3), "{what} {file}");
        }
    }
    Ok(())
}

#[test]
fn what_others_put_into_a_checkpoint_is_no_damage_and_stays() -> Result<()> {
    let temp = tempfile::tempdir()?;
    let folder = CheckpointFolder::new(temp.path());
    for step in [3, 5] {
        checkpoint_after(step).write(&folder.path(step))?;
    }
    // A list that lost a line is one.
    fs::write(folder.path(3).join("sampling.safetensors"), "")?;
    assert!(matches!(
        Checkpoint::read(&folder.path(3)),
        Err(Error::DamagedCheckpoint { path, .. }) if path.ends_with("sampling.safetensors")
    ));
    fs::remove_file(folder.path(3).join("sampling.safetensors"))?;
    fs::create_dir(folder.path(3).join("pictures"))?;
    for name in ["notes.txt", ".DS_Store", "pictures/1.png"] {
        fs::write(folder.path(3).join(name), "mine")?;
    }
    assert_eq!(Checkpoint::read(&folder.path(3))?.state().step, 3);

    // Written once more it takes them along; when its time has come its own files go.
    checkpoint_after(3).write(&folder.path(3))?;
    assert_eq!(fs::read_to_string(folder.path(3).join("pictures/1.png"))?, "mine");
    folder.prune(5, 1)?;
    assert!(!folder.path(3).join("student.safetensors").exists());
    assert_eq!(fs::read_to_string(folder.path(3).join("notes.txt"))?, "mine");
    assert_eq!(folder.newest_whole()?.map(|checkpoint| checkpoint.state().step), Some(5));

    fs::rename(folder.path(5), folder.path(9))?;
    assert!(folder.newest_whole()?.is_none(), "a renamed checkpoint was taken");
    assert!(CheckpointFolder::new(temp.path().join("nowhere")).newest_whole()?.is_none());
    Ok(())
}

#[test]
#[cfg(unix)]
fn a_checkpoint_that_cannot_be_read_is_passed_over_for_an_older_one() -> Result<()> {
    let temp = tempfile::tempdir()?;
    let folder = CheckpointFolder::new(temp.path());
    checkpoint_after(3).write(&folder.path(3))?;
    // Not even the system can say what this is: ELOOP.
    std::os::unix::fs::symlink("step-000005", folder.path(5))?;
    assert_eq!(folder.newest_whole()?.map(|checkpoint| checkpoint.state().step), Some(3));
    // Without another one nobody starts anew: it may be whole.
    Checkpoint::remove(&folder.path(3))?;
    assert!(matches!(folder.newest_whole(), Err(Error::Io { .. })));
    Ok(())
}

#[test]
fn folders_that_are_no_checkpoints_are_not_pruned() -> Result<()> {
    let temp = tempfile::tempdir()?;
    let folder = CheckpointFolder::new(temp.path());
    // Empty: a removal was killed.
    fs::create_dir(temp.path().join("step-000002"))?;
    for name in ["step-000001", "step-2", "step-+3"] {
        fs::create_dir(temp.path().join(name))?;
        fs::write(temp.path().join(name).join("student.safetensors"), "mine")?;
    }
    for step in [4, 5, 6] {
        checkpoint_after(step).write(&folder.path(step))?;
    }
    // What says which files to remove must not lead elsewhere.
    fs::write(temp.path().join("precious"), "mine")?;
    let evil = format!("{}  ../precious\n", "0".repeat(64));
    fs::write(folder.path(4).join("SHA256SUMS"), evil)?;
    folder.prune(6, 1)?;
    assert_eq!(folder.steps()?, [1, 4, 6]);
    for name in ["step-000001/student.safetensors", "step-2/student.safetensors", "precious"] {
        assert_eq!(fs::read_to_string(temp.path().join(name))?, "mine", "{name}");
    }
    Ok(())
}

#[test]
#[cfg(unix)]
fn an_old_checkpoint_that_cannot_be_removed_does_not_end_training() -> Result<()> {
    let temp = tempfile::tempdir()?;
    let folder = CheckpointFolder::new(temp.path());
    let mut writer = CheckpointWriter::new(folder.clone(), 1);
    writer.write(checkpoint_after(1))?;
    writer.finish()?;
    // A directory of this name cannot be removed as a file.
    fs::remove_file(folder.path(1).join("state.json"))?;
    fs::create_dir(folder.path(1).join("state.json"))?;
    writer.write(checkpoint_after(2))?;
    writer.finish()?;
    assert_eq!(folder.newest_whole()?.map(|checkpoint| checkpoint.state().step), Some(2));
    Ok(())
}

#[test]
fn a_checkpoint_of_other_networks_changes_nothing() -> Result<()> {
    let temp = tempfile::tempdir()?;
    let dir = temp.path().join("step-000003");
    checkpoint_after(3).write(&dir)?;
    let checkpoint = Checkpoint::read(&dir)?;
    let mut vars = (weights(8), weights(9));
    vars.0.remove("guide");
    vars.1.remove("guide");
    let before = (values(&vars.0), values(&vars.1));
    let teacher = |x: &candle_core::Tensor, _: &_, _: &cccm_sched::Conditions| Ok(x.clone());
    let networks = Networks { student: &teacher, target: &teacher, teacher: &teacher };
    let objective =
        Distillation::new(&DistillConfig::default(), schedule(), LabelSpace::new(NULL_LABELS), networks)?;
    let mut trainer = Trainer::new(&config(9), parts(&objective, &vars))?;
    let error = checkpoint.restore(&mut trainer).unwrap_err();
    assert!(
        matches!(&error, Error::CheckpointContent { file, reason } if file == "student.safetensors" && reason.contains("guide")),
        "{error}"
    );
    assert_eq!((values(&vars.0), values(&vars.1), trainer.steps_done()), (before.0, before.1, 0));
    Ok(())
}

#[test]
fn the_oldest_go_and_damaged_later_ones_push_nothing_out() -> Result<()> {
    let temp = tempfile::tempdir()?;
    let folder = CheckpointFolder::new(temp.path());
    // By number: names stop sorting at a million.
    for step in [500, 999_999, 1_000_000, 2_000_000] {
        fs::create_dir(folder.path(step))?;
        fs::write(folder.path(step).join("SHA256SUMS"), "")?;
    }
    fs::create_dir(temp.path().join(".step-000700.partial"))?;
    fs::write(temp.path().join(".step-000700.partial/state.json"), "")?;
    fs::create_dir(temp.path().join("mine"))?;
    folder.prune(1_000_000, 2)?;
    assert_eq!(folder.steps()?, [999_999, 1_000_000, 2_000_000]);
    assert!(!temp.path().join(".step-000700.partial").exists() && temp.path().join("mine").exists());
    folder.prune(1_000_000, 0)?;
    assert_eq!(folder.steps()?, [1_000_000, 2_000_000]);
    Ok(())
}

#[test]
fn a_writer_writes_in_the_background_and_reports_what_failed() -> Result<()> {
    let temp = tempfile::tempdir()?;
    let folder = CheckpointFolder::new(temp.path().join("checkpoints"));
    let mut writer = CheckpointWriter::new(folder.clone(), 2);
    for step in 1..=4 {
        writer.write(checkpoint_after(step))?;
    }
    writer.finish()?;
    assert_eq!(folder.steps()?, [3, 4]);

    // Where a file is in the way of the folder.
    fs::write(temp.path().join("taken"), "")?;
    let mut writer = CheckpointWriter::new(CheckpointFolder::new(temp.path().join("taken")), 2);
    writer.write(checkpoint_after(1))?;
    assert!(matches!(writer.finish(), Err(Error::Io { .. })));
    writer.write(checkpoint_after(1))?;
    assert!(matches!(writer.write(checkpoint_after(2)), Err(Error::Io { .. })));
    writer.check()?;
    Ok(())
}

#[test]
fn a_skipped_step_leaves_the_weights_and_is_counted() -> Result<()> {
    let vars = start();
    distil(&skipping(20), &DistillConfig::default(), &vars, |trainer| -> Result<()> {
        for step in 0..8 {
            let before = (values(&vars.0), values(&vars.1));
            let report = trainer.step(&batch_with_breaks(step))?;
            let skipped = !report.loss.is_finite();
            assert_eq!(skipped, step % 4 == 2);
            assert_eq!(before == (values(&vars.0), values(&vars.1)), skipped);
            assert_eq!(report.skipped_steps, (step + 2) / 4);
        }
        assert_eq!((trainer.steps_done(), trainer.optimizer().steps()), (8, 6));
        Ok(())
    })
}

#[test]
fn the_average_is_warmed_up_by_updates_not_by_skipped_steps() -> Result<()> {
    let vars = start();
    let (student, target) = (Toy::tracked(&vars.0), Toy::detached(&vars.1));
    let networks = Networks { student: &student, target: &target, teacher: &target };
    let cfg = DistillConfig { fuse_schedule: FuseSchedule::OnlyOde, ..DistillConfig::default() };
    let objective = Distillation::new(&cfg, schedule(), LabelSpace::new(NULL_LABELS), networks)?;
    let averages = vec![MovingAverage::target(vars.1.clone(), Averaging::WarmedUp(0.9))];
    let parts = TrainerParts { averages, ..parts(&objective, &vars) };
    let mut trainer = Trainer::new(&skipping(20), parts)?;
    trainer.step(&broken_batch())?;
    let before = values(&vars.1);
    trainer.step(&batch(1, 4))?;
    // A tenth of it stays in the first update.
    for ((got, old), new) in values(&vars.1).iter().zip(before).zip(values(&vars.0)) {
        assert!((got - (0.1 * old + 0.9 * new)).abs() < 1e-6);
    }
    Ok(())
}

#[test]
fn ten_bad_steps_in_a_row_are_too_many_even_across_a_checkpoint() -> Result<()> {
    let bad = |trainer: &mut Trainer<'_>, count| {
        (0..count).try_for_each(|_| trainer.step(&broken_batch()).map(drop))
    };
    let checkpoint = distil(&skipping(50), &DistillConfig::default(), &start(), |trainer| -> Result<_> {
        bad(trainer, 9)?;
        trainer.step(&batch(9, 4))?;
        bad(trainer, 6)?;
        Ok(Checkpoint::of(trainer, BTreeMap::new())?)
    })?;
    let error = distil(&skipping(50), &DistillConfig::default(), &start(), |trainer| {
        checkpoint.restore(trainer).unwrap();
        bad(trainer, 3).unwrap();
        bad(trainer, 1).unwrap_err()
    });
    assert!(matches!(error, Error::StillNonFinite { in_a_row: 10, first: 11, step: 20 }), "{error}");
    Ok(())
}

#[test]
fn when_the_data_fail_a_checkpoint_is_written_first() {
    #[derive(Default)]
    struct Saved(Vec<u64>);
    impl Reporter for Saved {
        fn on_checkpoint(&mut self, trainer: &Trainer<'_>) -> Result<(), BoxError> {
            self.0.push(trainer.steps_done());
            Ok(())
        }
    }
    let run = |good: u64| {
        let mut saved = Saved::default();
        let gone = std::iter::once(Err("the folder is gone".into()));
        let batches = (0..good).map(|step| Ok(batch(step, 4))).chain(gone);
        let error = distil(&config(9), &DistillConfig::default(), &start(), |t| t.run(batches, &mut saved))
            .unwrap_err();
        assert!(matches!(error, Error::Data { step, .. } if step == good + 1), "{error}");
        saved.0
    };
    assert_eq!(run(5), [5]);
    // An epoch has 4 steps, a checkpoint is due every 2 epochs: this one is there already.
    assert_eq!(run(8), [8]);
    assert!(run(0).is_empty());
}

#[test]
fn when_the_reporter_fails_a_checkpoint_is_written_first() {
    #[derive(Default)]
    struct Fails {
        saved: Vec<u64>,
        at_step: Option<u64>,
        at_eval: bool,
    }
    impl Reporter for Fails {
        fn on_step(&mut self, report: &StepReport) -> Result<ControlFlow<()>, BoxError> {
            if self.at_step == Some(report.step) {
                Err("the disk is full".into())
            } else {
                Ok(ControlFlow::Continue(()))
            }
        }

        fn on_checkpoint(&mut self, trainer: &Trainer<'_>) -> Result<(), BoxError> {
            self.saved.push(trainer.steps_done());
            Ok(())
        }

        fn on_eval(&mut self, _: &Trainer<'_>) -> Result<(), BoxError> {
            if self.at_eval { Err("no memory for pictures".into()) } else { Ok(()) }
        }
    }
    let run = |mut reporter: Fails, eval: u64| {
        let train = TrainConfig { eval_interval: Span::Steps(eval), ..config(9) };
        let batches = (0..9).map(|step| Ok(batch(step, 4)));
        let error = distil(&train, &DistillConfig::default(), &start(), |t| t.run(batches, &mut reporter))
            .unwrap_err();
        let Error::Report { what, step, .. } = error else { panic!("{error}") };
        (what, step, reporter.saved)
    };
    assert_eq!(run(Fails { at_step: Some(5), ..Fails::default() }, 9), ("the step", 5, vec![5]));
    assert_eq!(run(Fails { at_eval: true, ..Fails::default() }, 3), ("the evaluation", 3, vec![3]));
    // Saved before the evaluation, as that is due too.
    assert_eq!(run(Fails { at_eval: true, ..Fails::default() }, 8), ("the evaluation", 8, vec![8]));
}
