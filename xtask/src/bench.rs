//! `cargo xtask bench`: times of whole networks, beside those of PyTorch if there is one, and how they scale.
//!
//! The contenders take turns, each as a process of its own: a machine that slows down for a while then slows all of
//! them, and the ratio of two runs of the same turn stays what it is.

mod options;
mod process;
mod report;
mod stats;

use anyhow::{Result, bail};

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
        report::write(&options, None)?;
    }
    if let Some(python) = &options.python {
        process::check(python)?;
    }
    if options.program.is_none() {
        let code = match options.device {
            "cuda" => {
                bail!("build it with `cargo xtask cuda-build`, and name its `cccm-bench` by `--program`")
            }
            _ => super::cargo(&["build", "--release", "-p", "cccm-bench"])?,
        };
        if code != 0 {
            return Ok(code);
        }
    }
    let (text, all_done) = match options.task {
        Task::Compare => compare(&options),
        Task::Scaling => scaling(&options),
    };
    print!("{text}");
    if options.write {
        report::write(&options, Some(&text))?;
    }
    Ok(u8::from(!all_done))
}

/// Every size and work, by every contender; and whether all of them did it.
fn compare(options: &Options) -> (String, bool) {
    let cccm = || Program::cccm(options.program.as_deref());
    let mut programs = match options.device {
        "cuda" => vec![cccm().with_dtype("bf16"), cccm().with_dtype("f32")],
        _ => vec![cccm()],
    };
    if let Some(python) = &options.python {
        programs.extend(options.modes.iter().map(|mode| Program::torch(python, mode)));
    }
    let mut rows = Vec::new();
    let mut torch_version = None;
    for &size in &options.sizes {
        for &work in &options.works {
            let Options { threads, device, .. } = *options;
            let job = Job { size, work, batch: batch(size, work, device), threads, device };
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
    let table = match options.device {
        "cuda" => report::gpu_comparison(&rows),
        _ => report::comparison(&rows),
    };
    (format!("{}\n\n{table}", report::header(options, torch_version.as_deref())), all_done(&rows))
}

/// Whether no contender failed.
fn all_done(rows: &[Row]) -> bool {
    rows.iter().all(|row| row.runs.is_some())
}

/// Time against threads, images and pixels; and whether all of it was done.
fn scaling(options: &Options) -> (String, bool) {
    let device = "cpu";
    let cccm = Program::cccm(options.program.as_deref());
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
        let job = |threads| Job { size, work, batch: batch(size, work, device), threads, device };
        series(&[job(1), job(options.threads)])
    };
    let forward = |size, batch| Job { size, work: "forward", batch, threads: options.threads, device };
    let threads = [one_and_more("L64", "sample4"), one_and_more("S", "step")].concat();
    let images = series(&[1, 2, 4, 8, 16, 32].map(|batch| forward("S", batch)));
    let pixels = series(&["L64", "L128"].map(|size| forward(size, 1)));
    let header = report::header(options, None);
    let done = [&threads, &images, &pixels].into_iter().all(|rows| all_done(rows));
    (format!("{header}\n\n{}", report::scaling(&threads, &images, &pixels)), done)
}

/// As many images as a user would take at a time.
fn batch(size: &str, work: &str, device: &str) -> usize {
    match (size, work) {
        ("S", "step" | "backward") if device == "cuda" => 256,
        (_, "step" | "backward" | "forward") if device == "cuda" => 16,
        _ if device == "cuda" => 64,
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
