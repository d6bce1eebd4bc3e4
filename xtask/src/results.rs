//! `cargo xtask results` and `cargo xtask e2e`: runs, their scores, and whether they keep the promises.

mod experiments;
mod promises;
mod runner;

use std::path::PathBuf;

use anyhow::{Context, Result, bail};

use experiments::{BEST, EXPERIMENTS, Experiment, MAIN};
use promises::Promises;
use runner::Runner;

/// Pictures of each pair, for a table that is published.
const SAMPLES: usize = 50;
/// Pictures of each pair, where it has to be quick.
const E2E_SAMPLES: usize = 20;

/// `results [--out DIR] [--samples N] [--seeds N...] [--untimed] [screen | main | NAME...]`: trains and scores what is not yet
/// there, then writes the report of these experiments, with all seeds that there are.
pub(crate) fn results(args: &[&str]) -> Result<u8> {
    let options = Options::parse(args)?;
    let runner = Runner::new(options.out, options.samples)?;
    runner.teacher(&[10, 25, 50])?;
    for seed in &options.seeds {
        for experiment in &options.experiments {
            runner.student(experiment, *seed)?;
        }
    }
    runner.report(&options.experiments, options.report)?;
    Ok(0)
}

/// `e2e`: the built-in teacher, the best student, and what is promised of both.
pub(crate) fn e2e(args: &[&str]) -> Result<u8> {
    let out = match args {
        [] => PathBuf::from("runs/e2e"),
        ["--out", out] => PathBuf::from(out),
        _ => bail!("e2e takes --out DIR alone"),
    };
    let runner = Runner::new(out, E2E_SAMPLES)?;
    let teacher = runner.teacher(&[50])?;
    let student = runner.student(&BEST, 0)?;
    runner.report(&[&BEST], &[])?;
    let broken = Promises::read(&teacher, &student)?.broken();
    for promise in &broken {
        eprintln!("broken: {promise}");
    }
    if broken.is_empty() {
        eprintln!("all promises are kept");
    }
    Ok(u8::from(!broken.is_empty()))
}

struct Options {
    out: PathBuf,
    samples: usize,
    seeds: Vec<u64>,
    experiments: Vec<&'static Experiment>,
    /// Flags of `cccm report`.
    report: &'static [&'static str],
}

impl Options {
    fn parse(args: &[&str]) -> Result<Self> {
        let mut options = Self {
            out: "runs/results".into(),
            samples: SAMPLES,
            seeds: Vec::new(),
            experiments: Vec::new(),
            report: &[],
        };
        let mut args = args.iter().peekable();
        while let Some(arg) = args.next() {
            let mut value =
                |name: &str| args.next().copied().with_context(|| format!("{name} needs a value"));
            match *arg {
                "--out" => options.out = value("--out")?.into(),
                "--samples" => options.samples = value("--samples")?.parse()?,
                "--seeds" => {
                    while let Some(seed) = args.peek().and_then(|arg| arg.parse().ok()) {
                        options.seeds.push(seed);
                        args.next();
                    }
                }
                "--untimed" => options.report = &["--untimed"],
                "screen" => options.experiments.extend(&EXPERIMENTS),
                "main" => options.experiments.extend(EXPERIMENTS.iter().filter(|e| MAIN.contains(&e.name))),
                name => {
                    let names = || EXPERIMENTS.map(|experiment| experiment.name).join(", ");
                    let found = EXPERIMENTS.iter().find(|experiment| experiment.name == name);
                    options.experiments.push(
                        found.with_context(|| format!("no experiment `{name}`: there are {}", names()))?,
                    );
                }
            }
        }
        if options.seeds.is_empty() {
            options.seeds.push(0);
        }
        if options.experiments.is_empty() {
            options.experiments.extend(EXPERIMENTS.iter().filter(|e| MAIN.contains(&e.name)));
        }
        Ok(options)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_choose_experiments_and_seeds() {
        let options = Options::parse(&["--seeds", "0", "1", "best", "--samples", "7", "--untimed"]).unwrap();
        assert_eq!((options.seeds, options.samples, options.report), (vec![0, 1], 7, &["--untimed"][..]));
        assert_eq!(options.experiments.iter().map(|e| e.name).collect::<Vec<_>>(), ["best"]);
        assert_eq!(Options::parse(&[]).unwrap().experiments.len(), MAIN.len());
        let error = Options::parse(&["bst"]).err().unwrap().to_string();
        assert!(error.contains("`bst`") && error.contains("lossfuse"), "{error}");
        assert!(Options::parse(&["--samples"]).is_err());
    }

    #[test]
    fn every_experiment_has_a_name_of_its_own() {
        let mut names = EXPERIMENTS.map(|experiment| experiment.name).to_vec();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), EXPERIMENTS.len());
        assert!(MAIN.iter().all(|name| names.contains(name)) && names.contains(&BEST.name));
    }
}
