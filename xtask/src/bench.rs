//! `cargo xtask bench`: times of whole networks, beside those of PyTorch if there is one, and how they scale.
//!
//! The contenders take turns, each as a process of its own: a machine that slows down for a while then slows all of
//! them, and the ratio of two runs of the same turn stays what it is.

mod options;
mod process;
mod report;
mod stats;

use anyhow::Result;

use options::{Options, Task};
use process::{Job, Program, Run};
use report::Row;

/// What `cargo xtask bench ARGS` does; gives its exit code.
pub(crate) fn bench(args: &[&str]) -> Result<u8> {
    let options = match options::parse(args) {
        Ok(options) => options,
        Err(error) => {
            eprintln!("error: {error:#}");
            return Ok(2);
        }
    };
    // Before the long measuring, not after it.
    if options.write {
        report::write(options.task, None)?;
    }
    if let Some(python) = &options.python {
        process::check(python)?;
    }
    let code = super::cargo(&["build", "--release", "-p", "cccm-bench"])?;
    if code != 0 {
        return Ok(code);
    }
    let text = match options.task {
        Task::Compare => compare(&options),
        Task::Scaling => scaling(&options),
    };
    print!("{text}");
    if options.write {
        report::write(options.task, Some(&text))?;
    }
    Ok(0)
}

/// Every size and work, by every contender.
fn compare(options: &Options) -> String {
    let mut programs = vec![Program::cccm()];
    if let Some(python) = &options.python {
        programs.extend(options.modes.iter().map(|mode| Program::torch(python, mode)));
    }
    let mut rows = Vec::new();
    let mut torch_version = None;
    for &size in &options.sizes {
        for &work in &options.works {
            let job = Job { size, work, batch: batch(size, work), threads: options.threads };
            let cases: Vec<Case<'_>> = programs.iter().map(|program| (program, job)).collect();
            let outcomes = alternately(&cases, options);
            torch_version =
                outcomes.iter().flatten().flatten().find_map(|run| run.torch.clone()).or(torch_version);
            rows.extend(cases.iter().zip(&outcomes).enumerate().map(|(index, ((program, job), outcome))| {
                Row {
                    job: *job,
                    name: program.name.clone(),
                    runs: outcome.clone(),
                    base: if index == 0 { None } else { outcomes[0].clone() },
                }
            }));
        }
    }
    format!("{}\n\n{}", report::header(options, torch_version.as_deref()), report::comparison(&rows))
}

/// Time against threads, images and pixels.
fn scaling(options: &Options) -> String {
    let cccm = Program::cccm();
    // Rows with one job to compare all with, the first.
    let series = |jobs: &[Job]| -> Vec<Row> {
        let cases: Vec<Case<'_>> = jobs.iter().map(|&job| (&cccm, job)).collect();
        let outcomes = alternately(&cases, options);
        let row = |(&job, runs): (&Job, &Outcome)| Row {
            job,
            name: cccm.name.clone(),
            runs: runs.clone(),
            base: outcomes[0].clone(),
        };
        jobs.iter().zip(&outcomes).map(row).collect()
    };
    let one_and_more = |size, work| {
        let job = |threads| Job { size, work, batch: batch(size, work), threads };
        series(&[job(1), job(options.threads)])
    };
    let forward = |size, batch| Job { size, work: "forward", batch, threads: options.threads };
    let threads = [one_and_more("L64", "sample4"), one_and_more("S", "step")].concat();
    let images = series(&[1, 2, 4, 8, 16, 32].map(|batch| forward("S", batch)));
    let pixels = series(&["L64", "L128"].map(|size| forward(size, 1)));
    let header = report::header(options, None);
    format!("{header}\n\n{}", report::scaling(&threads, &images, &pixels))
}

/// As many images as a user would take at a time.
fn batch(size: &str, work: &str) -> usize {
    match (size, work) {
        ("S", "step" | "backward") => 16,
        ("S", _) => 8,
        _ => 1,
    }
}

/// What one contender does.
type Case<'a> = (&'a Program, Job);

/// The runs of a case, one per repeat; nothing if one of them failed.
type Outcome = Option<Vec<Run>>;

/// Runs all cases one after the other, so many times. What failed once is not tried again.
fn alternately(cases: &[Case<'_>], options: &Options) -> Vec<Outcome> {
    let mut outcomes = vec![Some(Vec::new()); cases.len()];
    for repeat in 1..=options.repeats {
        for ((program, job), outcome) in cases.iter().zip(&mut outcomes) {
            let Some(runs) = outcome else { continue };
            let progress = format!("{job}, {}, {repeat} of {}", program.name, options.repeats);
            match program.run(job, options.rounds) {
                Ok(run) => {
                    eprintln!("{progress}: {} ms", report::digits(run.median_s * 1e3));
                    runs.push(run);
                }
                Err(error) => {
                    eprintln!("{progress}: failed: {error:#}");
                    *outcome = None;
                }
            }
        }
    }
    outcomes
}
