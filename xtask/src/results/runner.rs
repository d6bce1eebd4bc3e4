//! Runs `cccm`, and leaves alone what is done.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use anyhow::{Context, Result, bail, ensure};

use super::experiments::Experiment;

/// Steps that students are scored at.
const STUDENT_STEPS: [usize; 4] = [1, 2, 4, 8];

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

    /// Scores the built-in teacher; gives the directory of its scores.
    pub(crate) fn teacher(&self, steps: &[usize]) -> Result<PathBuf> {
        let dir = self.out.join("teacher");
        self.eval("builtin:teacher", &dir, steps)?;
        Ok(dir)
    }

    /// Distils as the experiment says, unless that is done, and scores the student; gives the directory of its scores.
    pub(crate) fn student(&self, experiment: &Experiment, seed: u64) -> Result<PathBuf> {
        let run = self.out.join(format!("{}-seed{seed}", experiment.name));
        let run_text = run.to_string_lossy();
        if run.join("config.toml").is_file() {
            self.cccm(&["train", "--resume", &run_text])?;
        } else {
            let seed = seed.to_string();
            let args = ["train", "--save-path", &run_text, "--seed", &seed];
            self.cccm(&[&args[..], experiment.recipe, experiment.flags].concat())?;
        }
        let scores = run.join("eval");
        self.eval(&run_text, &scores, &STUDENT_STEPS)?;
        Ok(scores)
    }

    /// Tables and figures: the teacher, then the experiments in their order, with the runs of all seeds that are here.
    /// - `flags`: of `cccm report`
    pub(crate) fn report(&self, experiments: &[&Experiment], flags: &[&str]) -> Result<()> {
        let mut models = vec![format!("teacher={}", self.out.join("teacher").display())];
        for experiment in experiments {
            let prefix = format!("{}-seed", experiment.name);
            let mut runs = Vec::new();
            for entry in fs::read_dir(&self.out)? {
                let name = entry?.file_name().to_string_lossy().into_owned();
                let seed = name.strip_prefix(&prefix).and_then(|seed| seed.parse::<u64>().ok());
                runs.extend(seed.map(|seed| (seed, self.out.join(&name))));
            }
            runs.sort();
            models.extend(runs.into_iter().map(|(_, run)| format!("{}={}", experiment.name, run.display())));
        }
        let out = self.out.join("report");
        let mut args = vec!["report"];
        args.extend(models.iter().map(String::as_str));
        self.cccm(&[&args[..], &["--out", &out.to_string_lossy()], flags].concat())
    }

    fn eval(&self, checkpoint: &str, scores: &Path, steps: &[usize]) -> Result<()> {
        // `cccm eval` keeps its pictures; where all scores are there, so is everything.
        if steps.iter().all(|steps| scores.join(format!("steps-{steps}/scores.json")).is_file()) {
            return Ok(());
        }
        let (samples, out) = (self.samples.to_string(), scores.to_string_lossy());
        let steps: Vec<String> = steps.iter().map(ToString::to_string).collect();
        let mut args =
            vec!["eval", "--checkpoint", checkpoint, "--samples", &samples, "--out", &out, "--steps"];
        args.extend(steps.iter().map(String::as_str));
        self.cccm(&args)
    }

    fn cccm(&self, args: &[&str]) -> Result<()> {
        let shown = args.join(" ");
        eprintln!("$ cccm {shown}");
        let status = Command::new(&self.cccm).args(args).status();
        let status = status.with_context(|| format!("starting {}", self.cccm.display()))?;
        if !status.success() {
            bail!("`cccm {shown}` failed; what is done stays, and the same command goes on");
        }
        Ok(())
    }
}
