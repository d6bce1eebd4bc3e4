//! Runs `cccm`, and reuses what has been trained and drawn already.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use anyhow::{Context, Result, bail, ensure};

use super::accuracy::{self, Row};
use super::experiments::{Experiment, Teacher};
use super::family::{Export, Family, Model};

/// Steps that students are scored at.
const STUDENT_STEPS: [usize; 4] = [1, 2, 4, 8];

/// Guided steps that teachers are scored at.
const TEACHER_STEPS: usize = 50;

/// Seed of the teachers of families.
const TEACHER_SEED: u64 = 0;

/// How strongly all of them follow the labels: the middle of what students are trained for.
const GUIDANCE_SCALE: &str = "3";

/// Trains and scores in one directory.
pub(crate) struct Runner {
    cccm: PathBuf,
    out: PathBuf,
    samples: usize,
}

impl Runner {
    /// Builds the program.
    pub(crate) fn new(out: PathBuf, samples: usize) -> Result<Self> {
        ensure!(crate::cargo(&["build", "--release", "-p", "cccm-cli"])? == 0, "cccm does not build");
        let cccm = crate::target_dir().join("release").join(format!("cccm{}", env::consts::EXE_SUFFIX));
        fs::create_dir_all(&out).with_context(|| format!("cannot create {}", out.display()))?;
        Ok(Self { cccm, out, samples })
    }

    /// Removes these folders from the directory. Refuses if the directory contains anything else, as the
    /// folders may then be somebody else's.
    pub(crate) fn start_anew(&self, folders: &[&str]) -> Result<()> {
        let (old, others): (Vec<String>, Vec<String>) =
            self.names()?.into_iter().partition(|name| folders.contains(&name.as_str()));
        if let ([first, ..], Some(other)) = (&old[..], others.first()) {
            bail!(
                "{} holds `{other}` too, so that `{first}` may be somebody else's, and stays: name another folder by --out, \
                 or go on with what is there by --continue",
                self.out.display()
            );
        }
        for name in old {
            let folder = self.out.join(name);
            fs::remove_dir_all(&folder).with_context(|| format!("cannot remove {}", folder.display()))?;
        }
        Ok(())
    }

    /// Scores the built-in teacher; gives the directory of its scores.
    pub(crate) fn teacher(&self, steps: &[usize]) -> Result<PathBuf> {
        let dir = self.out.join("teacher");
        self.eval("builtin:teacher", &dir, steps, &[])?;
        Ok(dir)
    }

    /// Distils as the experiment says, unless that is done, and scores the student; gives the directory of its scores.
    pub(crate) fn student(&self, experiment: &Experiment, seed: u64) -> Result<PathBuf> {
        let run = self.out.join(format!("{}-seed{seed}", experiment.name));
        let seed = seed.to_string();
        let mut flags = [experiment.recipe, experiment.flags, &["--seed", &seed]].concat();
        let teacher = experiment.teacher.map(|teacher| self.own_teacher(teacher)).transpose()?;
        let teacher = teacher.as_ref().map(|run| run.to_string_lossy());
        if let Some(run) = &teacher {
            flags.extend(["--teacher", run]);
        }
        self.train("train", &run, &flags)?;
        let scores = run.join("eval");
        self.eval(&run.to_string_lossy(), &scores, &STUDENT_STEPS, &[])?;
        Ok(scores)
    }

    /// Draws four steps of a student once more; gives the directory of the scores.
    pub(crate) fn four_steps_again(
        &self,
        experiment: &Experiment,
        seed: u64,
        folder: &str,
    ) -> Result<PathBuf> {
        let run = self.out.join(format!("{}-seed{seed}", experiment.name));
        let scores = self.out.join(folder);
        self.eval(&run.to_string_lossy(), &scores, &[4], &[])?;
        Ok(scores)
    }

    /// Trains a teacher, unless that is done, and scores it; gives the run's directory.
    fn own_teacher(&self, teacher: &Teacher) -> Result<PathBuf> {
        let run = self.out.join(teacher.name);
        self.train("train-teacher", &run, teacher.flags)?;
        self.eval(&run.to_string_lossy(), &run.join("eval"), &[TEACHER_STEPS], &[])?;
        Ok(run)
    }

    /// Trains and scores the models of a family, teachers once and students with each seed, and writes their table.
    /// - `flags`: of `cccm report`
    pub(crate) fn family(&self, family: &Family, seeds: &[u64], flags: &[&str]) -> Result<()> {
        family.exports.iter().try_for_each(|export| self.export(export))?;
        let (mut rows, mut models) = (Vec::new(), Vec::new());
        for model in &family.models {
            let seeds = if model.teacher.is_some() { seeds } else { &[TEACHER_SEED] };
            for seed in seeds {
                let run = self.model(model, *seed)?;
                let scores = run.join("eval");
                for steps in model.steps {
                    rows.push(Row::read(&scores, model.held_out, model.label, *seed, *steps)?);
                }
                models.push(format!("{}={}", model.label, run.display()));
            }
        }
        let folder = format!("report-{}", family.name);
        if family.is_comparable {
            self.side_by_side(&folder, &models, flags)?;
        }
        let folder = self.out.join(folder);
        let text = accuracy::table(&family.note, &rows);
        let file = folder.join("accuracy.md");
        fs::create_dir_all(&folder)
            .and_then(|()| fs::write(&file, &text))
            .with_context(|| format!("cannot write {}", file.display()))?;
        eprintln!("{}:\n\n{text}", file.display());
        Ok(())
    }

    /// Makes a folder of images, unless it is there: it appears whole or not at all.
    fn export(&self, Export { folder, words }: &Export) -> Result<()> {
        if folder.is_dir() {
            return Ok(());
        }
        let out = folder.to_string_lossy();
        let mut args = vec!["dataset", "export", "--out", &out];
        args.extend(words.iter().map(String::as_str));
        self.cccm(&args)
    }

    /// Trains a model of a family, unless that is done, and scores it; gives the run's directory.
    fn model(&self, model: &Model, seed: u64) -> Result<PathBuf> {
        let run = self.out.join(model.run_name(seed));
        let seed = seed.to_string();
        let teacher = model.teacher.as_ref().map(|name| self.out.join(name));
        let teacher = teacher.as_ref().map(|run| run.to_string_lossy());
        let mut flags: Vec<&str> = model.flags.iter().map(String::as_str).collect();
        flags.extend(["--seed", &seed]);
        let command = match &teacher {
            Some(run) => {
                flags.extend(["--teacher", run]);
                "train"
            }
            None => "train-teacher",
        };
        self.train(command, &run, &flags)?;
        self.eval(&run.to_string_lossy(), &run.join("eval"), model.steps, &model.eval_flags)?;
        Ok(run)
    }

    /// Trains in a directory, or goes on there.
    fn train(&self, command: &str, run: &Path, flags: &[&str]) -> Result<()> {
        let run_text = run.to_string_lossy();
        if run.join("config.toml").is_file() {
            return self.cccm(&[command, "--resume", &run_text]);
        }
        self.cccm(&[&[command, "--save-path", &run_text], flags].concat())
    }

    /// Tables and figures: the teacher, then the experiments in their order, each behind a teacher of its own, with the runs
    /// of all seeds that are here.
    /// - `folder`: where they go, in the directory
    /// - `flags`: of `cccm report`
    pub(crate) fn report(&self, folder: &str, experiments: &[&Experiment], flags: &[&str]) -> Result<()> {
        let names = self.names()?;
        let mut models = vec![format!("teacher={}", self.out.join("teacher").display())];
        for experiment in experiments {
            let teacher = experiment.teacher.map(|teacher| teacher.name);
            models.extend(teacher.map(|name| format!("{name}={}", self.out.join(name).display())));
            let prefix = format!("{}-seed", experiment.name);
            let mut runs = Vec::new();
            for name in &names {
                let seed = name.strip_prefix(&prefix).and_then(|seed| seed.parse::<u64>().ok());
                runs.extend(seed.map(|seed| (seed, self.out.join(name))));
            }
            runs.sort();
            models.extend(runs.into_iter().map(|(_, run)| format!("{}={}", experiment.name, run.display())));
        }
        self.side_by_side(folder, &models, flags)
    }

    /// Tables and figures of these, each `NAME=PATH`.
    fn side_by_side(&self, folder: &str, models: &[String], flags: &[&str]) -> Result<()> {
        let out = self.out.join(folder);
        let mut args = vec!["report"];
        args.extend(models.iter().map(String::as_str));
        self.cccm(&[&args[..], &["--out", &out.to_string_lossy()], flags].concat())
    }

    /// Names of what is in the directory.
    fn names(&self) -> Result<Vec<String>> {
        let list = || -> std::io::Result<Vec<String>> {
            fs::read_dir(&self.out)?
                .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
                .collect()
        };
        list().with_context(|| format!("cannot list {}", self.out.display()))
    }

    /// Scores a model, even if it has scores already: the program may compute them in another way by now.
    /// `cccm eval` keeps the pictures that are still those of this model.
    /// - `more`: further flags
    fn eval(&self, checkpoint: &str, scores: &Path, steps: &[usize], more: &[String]) -> Result<()> {
        let (samples, out) = (self.samples.to_string(), scores.to_string_lossy());
        let steps: Vec<String> = steps.iter().map(ToString::to_string).collect();
        let mut args = vec!["eval", "--checkpoint", checkpoint, "--samples", &samples, "--out", &out];
        args.extend(["--guidance-scale", GUIDANCE_SCALE, "--steps"]);
        args.extend(steps.iter().chain(more).map(String::as_str));
        self.cccm(&args)
    }

    fn cccm(&self, args: &[&str]) -> Result<()> {
        let shown = args.join(" ");
        eprintln!("$ cccm {shown}");
        let status = Command::new(&self.cccm).args(args).status();
        let status = status.with_context(|| format!("starting {}", self.cccm.display()))?;
        if !status.success() {
            bail!("`cccm {shown}` failed; `results` and `e2e --continue` go on with what is done");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fresh_start_removes_its_own_and_nothing_beside_others() {
        let out = env::temp_dir().join(format!("cccm-start-anew-{}", std::process::id()));
        let runner = Runner { cccm: PathBuf::new(), out: out.clone(), samples: 1 };
        fs::create_dir_all(out.join("best-seed0/eval")).unwrap();
        fs::create_dir_all(out.join("best-seed1")).unwrap();
        let own = ["best-seed0", "teacher"];
        let refused = runner.start_anew(&own).unwrap_err().to_string();
        assert!(refused.contains("`best-seed1`") && refused.contains("--continue"), "{refused}");
        assert!(out.join("best-seed0/eval").is_dir());
        fs::remove_dir(out.join("best-seed1")).unwrap();
        runner.start_anew(&own).unwrap();
        assert_eq!(runner.names().unwrap(), Vec::<String>::new());
        // There is nothing that could be lost.
        fs::create_dir_all(out.join("notes")).unwrap();
        runner.start_anew(&own).unwrap();
        fs::remove_dir_all(&out).unwrap();
        assert!(runner.names().unwrap_err().to_string().contains("cannot list"));
    }
}
