//! `cargo xtask results` and `cargo xtask e2e`: runs, their scores, and whether they keep the promises.

mod accuracy;
mod experiments;
mod family;
mod promises;
mod runner;
mod scores;
mod stated;

use std::num::NonZero;
use std::path::PathBuf;

use anyhow::{Context, Error, Result, bail, ensure};

use experiments::{BEST, EXPERIMENTS, Experiment, MAIN};
use family::{FAMILIES, Family, Folders, Maker};
use promises::Promises;
use runner::Runner;
use stated::{Model, Stated};

/// Pictures of each pair, for a published table and for everything that is compared with it: distances fall
/// with their number.
const SAMPLES: usize = 50;
/// Pictures of each pair for the table of a family, which has many models; and for a smoke test.
const FAMILY_SAMPLES: usize = 20;
const SMOKE_SAMPLES: usize = 1;
/// Seed of the student of `e2e`.
const E2E_SEED: u64 = 0;
/// All that `e2e` makes in its folder.
const E2E_FOLDERS: [&str; 5] = ["best-seed0", "teacher", "report", E2E_TIMES[0], E2E_TIMES[1]];
/// Where four steps are drawn again, for their time alone.
const E2E_TIMES: [&str; 2] = ["times-1", "times-2"];

/// Experiments of the main table that are not part of the screening.
const NOT_SCREENED: [&str; 2] = ["stepfuse", "switch"];

/// `results [--out DIR] [--samples N] [--seeds N...] [--untimed] [screen | main | NAME...]`: trains what is not yet there,
/// scores all of it, then writes the report of these experiments, with all seeds that there are. `results [...] [--mnist DIR]
/// [--faces DIR] [--smoke] FAMILY...` does the same for families of models.
pub(crate) fn results(args: &[&str]) -> Result<u8> {
    let options = match Options::parse(args) {
        Ok(options) => options,
        Err(error) => return Ok(misused(&error)),
    };
    if !options.families.is_empty() {
        return families(&options);
    }
    let runner = Runner::new(options.out, options.samples.unwrap_or(SAMPLES))?;
    runner.teacher(&[10, 25, 50])?;
    for seed in &options.seeds {
        for experiment in &options.experiments {
            runner.student(experiment, *seed)?;
        }
    }
    runner.report(&options.report, &options.experiments, options.report_flags)?;
    Ok(0)
}

/// Trains and scores families of models.
fn families(options: &Options) -> Result<u8> {
    let folders =
        Folders { out: &options.out, mnist: options.mnist.as_deref(), faces: options.faces.as_deref() };
    let families: Result<Vec<Family>> = options.families.iter().map(|make| make(&folders)).collect();
    let families = match families {
        Ok(families) => families,
        Err(error) => return Ok(misused(&error)),
    };
    let usual = if options.smoke { SMOKE_SAMPLES } else { FAMILY_SAMPLES };
    let runner = Runner::new(options.out.clone(), options.samples.unwrap_or(usual))?;
    for family in families {
        let family = if options.smoke { family.smoke() } else { family };
        runner.family(&family, &options.seeds, options.report_flags)?;
    }
    Ok(0)
}

/// `e2e [--out DIR] [--continue]`: the built-in teacher, the best student, what is promised of both, and what README.md states
/// of them; anew, unless it is to go on.
pub(crate) fn e2e(args: &[&str]) -> Result<u8> {
    let options = match E2eOptions::parse(args) {
        Ok(options) => options,
        Err(error) => return Ok(misused(&error)),
    };
    let stated = Stated::read(&crate::root().join("README.md"))?;
    let runner = Runner::new(options.out, SAMPLES)?;
    if !options.go_on {
        runner.start_anew(&E2E_FOLDERS)?;
    }
    let teacher = runner.teacher(&[50])?;
    let student = runner.student(&BEST, E2E_SEED)?;
    runner.report("report", &[&BEST], &[])?;
    let mut promises = Promises::read(&teacher, &student)?;
    for folder in E2E_TIMES {
        promises.time_again(&runner.four_steps_again(&BEST, E2E_SEED, folder)?)?;
    }
    let mut broken = promises.broken();
    broken.extend(stated.broken(&|model, steps| {
        let folder = match model {
            Model::Teacher => &teacher,
            Model::Student => &student,
        };
        scores::read(folder, steps)
    })?);
    for promise in &broken {
        eprintln!("broken: {promise}");
    }
    if broken.is_empty() {
        eprintln!("all promises are kept");
    }
    Ok(u8::from(!broken.is_empty()))
}

/// Says what is wrong with the arguments; gives the exit code for that.
fn misused(error: &Error) -> u8 {
    eprintln!("error: {error:#}");
    2
}

/// What `results` is asked for.
struct Options {
    out: PathBuf,
    samples: Option<usize>,
    seeds: Vec<u64>,
    experiments: Vec<&'static Experiment>,
    /// Instead of experiments.
    families: Vec<Maker>,
    /// Folders that families need.
    mnist: Option<PathBuf>,
    faces: Option<PathBuf>,
    /// Whether this is a smoke test, which only shows that all parts of a family run.
    smoke: bool,
    /// Folder of the report: each choice of experiments has its own.
    report: String,
    /// Flags of `cccm report`.
    report_flags: &'static [&'static str],
}

impl Options {
    fn parse(args: &[&str]) -> Result<Self> {
        let mut options = Self {
            out: "runs/results".into(),
            samples: None,
            seeds: Vec::new(),
            experiments: Vec::new(),
            families: Vec::new(),
            mnist: None,
            faces: None,
            smoke: false,
            report: "report".to_owned(),
            report_flags: &[],
        };
        let mut choice = Vec::new();
        let mut words = args.iter().copied().peekable();
        while let Some(word) = words.next() {
            match word {
                "--out" => options.out = value(word, &mut words)?.into(),
                "--samples" => options.samples = Some(count(word, value(word, &mut words)?)?),
                "--mnist" => options.mnist = Some(value(word, &mut words)?.into()),
                "--faces" => options.faces = Some(value(word, &mut words)?.into()),
                "--smoke" => options.smoke = true,
                "--seeds" => {
                    let before = options.seeds.len();
                    while let Some(seed) = words.peek().and_then(|word| word.parse().ok()) {
                        options.seeds.push(seed);
                        words.next();
                    }
                    ensure!(options.seeds.len() > before, "`--seeds` needs at least one number");
                }
                "--untimed" => options.report_flags = &["--untimed"],
                flag if flag.starts_with("--") => {
                    bail!(
                        "`{flag}` is unknown here; known are --out, --samples, --seeds, --untimed, --mnist, --faces, --smoke"
                    )
                }
                name => match FAMILIES.iter().find(|(family, _)| *family == name) {
                    Some((_, make)) => options.families.push(*make),
                    None => choice.push(name),
                },
            }
        }
        options.choose(choice)
    }

    /// - `choice`: names of experiments
    fn choose(mut self, mut choice: Vec<&str>) -> Result<Self> {
        for name in &choice {
            let known = EXPERIMENTS.iter().any(|experiment| is_chosen(experiment, name));
            ensure!(known, "no experiment `{name}`: there are {}", all_names());
        }
        if self.seeds.is_empty() {
            self.seeds.push(0);
        }
        if self.families.is_empty() {
            ensure!(!self.smoke, "--smoke is for families of models: {}", family_names());
        } else {
            ensure!(choice.is_empty(), "`{}` is no family of models: run it separately", choice.join(" "));
        }
        if choice.is_empty() {
            choice.push("main");
        }
        if choice != ["main"] {
            self.report = format!("report-{}", choice.join("-"));
        }
        let chosen = |experiment: &&Experiment| choice.iter().any(|name| is_chosen(experiment, name));
        self.experiments.extend(EXPERIMENTS.iter().filter(chosen));
        Ok(self)
    }
}

fn family_names() -> String {
    FAMILIES.map(|(name, _)| name).join(", ")
}

/// All that can be asked for.
fn all_names() -> String {
    let experiments = EXPERIMENTS.map(|experiment| experiment.name).join(", ");
    format!("{experiments}; screen, main; {}", family_names())
}

/// Whether an experiment is meant by a name, its own or that of a table.
fn is_chosen(experiment: &Experiment, name: &str) -> bool {
    match name {
        "main" => MAIN.contains(&experiment.name),
        "screen" => !NOT_SCREENED.contains(&experiment.name),
        name => experiment.name == name,
    }
}

/// What `e2e` is asked for.
#[derive(Debug)]
struct E2eOptions {
    out: PathBuf,
    /// Whether what is there stays.
    go_on: bool,
}

impl E2eOptions {
    fn parse(args: &[&str]) -> Result<Self> {
        let mut options = Self { out: "runs/e2e".into(), go_on: false };
        let mut words = args.iter().copied();
        while let Some(word) = words.next() {
            match word {
                "--out" => options.out = value(word, &mut words)?.into(),
                "--continue" => options.go_on = true,
                _ => bail!("`{word}` is unknown here; known are --out, --continue"),
            }
        }
        Ok(options)
    }
}

/// The word behind a flag.
fn value<'a>(flag: &str, words: &mut impl Iterator<Item = &'a str>) -> Result<&'a str> {
    let value = words.next().filter(|value| !value.starts_with("--"));
    value.with_context(|| format!("`{flag}` needs a value"))
}

/// A number of at least 1.
fn count(flag: &str, value: &str) -> Result<usize> {
    let number = value.parse::<NonZero<usize>>();
    Ok(number.with_context(|| format!("`{flag} {value}` must be a number of at least 1"))?.get())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(args: &[&str]) -> Vec<&'static str> {
        Options::parse(args).unwrap().experiments.iter().map(|experiment| experiment.name).collect()
    }

    #[test]
    fn flags_choose_experiments_and_seeds() {
        let args = ["--seeds", "0", "1", "best", "--samples", "7", "--untimed"];
        let options = Options::parse(&args).unwrap();
        assert_eq!((options.seeds, options.samples), (vec![0, 1], Some(7)));
        assert_eq!((options.report_flags, names(&args)), (&["--untimed"][..], vec!["best"]));
        assert_eq!(names(&[]).len(), MAIN.len());
        assert_eq!(Options::parse(&[]).unwrap().seeds, [0]);
        // Each once, in the order of the table.
        assert_eq!(names(&["best", "main"]), names(&["main"]));
        let screened = names(&["screen"]);
        assert!(["lossfuse", "best", "best-of-3000"].iter().all(|name| screened.contains(name)));
        assert!(!["stepfuse", "switch"].iter().any(|name| screened.contains(name)));
    }

    #[test]
    fn families_are_asked_for_apart() {
        let options = Options::parse(&["curve", "faces", "--faces", "a b", "--smoke"]).unwrap();
        assert_eq!((options.families.len(), options.smoke), (2, true));
        assert_eq!(options.faces, Some(PathBuf::from("a b")));
        let message = |args: &[&str]| Options::parse(args).err().unwrap().to_string();
        assert!(message(&["curve", "best"]).contains("`best` is no family"));
        assert!(message(&["best", "--smoke"]).contains("curve, coind-uniform"));
        assert!(message(&["curvy"]).contains("curve"));
        // Before anything is built.
        assert_eq!(results(&["faces"]).unwrap(), 2);
        assert!(FAMILIES.iter().all(|(family, _)| !EXPERIMENTS.iter().any(|one| is_chosen(one, family))));
    }

    #[test]
    fn every_choice_has_a_report_of_its_own() {
        let report = |args: &[&str]| Options::parse(args).unwrap().report;
        assert_eq!([report(&[]), report(&["main"])], ["report", "report"]);
        assert_eq!(report(&["--untimed", "screen"]), "report-screen");
        assert_eq!(report(&["lossfuse", "--seeds", "1", "best"]), "report-lossfuse-best");
    }

    #[test]
    fn what_is_unknown_is_refused_with_what_is_known() {
        for (args, parts) in [
            ("bst", &["no experiment `bst`", "lossfuse", "screen"][..]),
            ("--untimd", &["`--untimd` is unknown", "--untimed"]),
            ("--samples", &["`--samples` needs a value"]),
            ("--out --untimed", &["`--out` needs a value"]),
            ("--samples 0", &["`--samples 0`", "at least 1"]),
            ("--seeds", &["`--seeds` needs at least one number"]),
            ("--seeds best", &["`--seeds` needs at least one number"]),
        ] {
            let args: Vec<&str> = args.split(' ').collect();
            let message = format!("{:#}", Options::parse(&args).err().unwrap());
            assert!(parts.iter().all(|part| message.contains(part)), "{args:?}: {message}");
        }
        let message = |args: &[&str]| E2eOptions::parse(args).unwrap_err().to_string();
        assert!(message(&["best"]).contains("`best` is unknown"));
        assert!(message(&["--out", "--continue"]).contains("`--out` needs a value"));
    }

    #[test]
    fn misuse_is_told_apart_from_failure() {
        assert_eq!(results(&["--sedes", "1"]).unwrap(), 2);
        assert_eq!(e2e(&["--resume"]).unwrap(), 2);
    }

    #[test]
    fn e2e_starts_anew_unless_told() {
        let parsed = |args: &[&str]| E2eOptions::parse(args).unwrap();
        let usual = parsed(&[]);
        assert_eq!((usual.out, usual.go_on), (PathBuf::from("runs/e2e"), false));
        let told = parsed(&["--continue", "--out", "elsewhere"]);
        assert_eq!((told.out, told.go_on), (PathBuf::from("elsewhere"), true));
        assert!(E2E_FOLDERS.contains(&format!("{}-seed{E2E_SEED}", BEST.name).as_str()));
    }

    #[test]
    fn every_experiment_has_a_name_of_its_own() {
        let mut names = EXPERIMENTS.map(|experiment| experiment.name).to_vec();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), EXPERIMENTS.len());
        assert!(MAIN.iter().all(|name| names.contains(name)) && names.contains(&BEST.name));
        assert!(NOT_SCREENED.iter().all(|name| MAIN.contains(name)));
    }
}
