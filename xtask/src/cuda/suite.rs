//! `cuda-suite`: all that is to be known of a GPU, on a machine that has one and nothing else of ours, in one file.
//!
//! Its programs are built elsewhere by `cargo xtask cuda-build`, and this one is among them.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::bundle;

/// How long a part may take: a machine may be lent for ten minutes at a time.
const LIMIT: Duration = Duration::from_mins(9);
/// Steps of the teacher, under half of the built-in one's.
const TEACHER_STEPS: &str = "4000";
/// How strongly teacher and student follow the labels: the middle of what the student is trained for.
const GUIDANCE_SCALE: &str = "3";

/// The parts, in the order in which they are run.
const PARTS: [(&str, Part); 5] =
    [("check", check), ("step", step), ("sample", sample), ("small", small), ("train", train)];

type Part = fn(&mut Suite) -> Result<()>;

/// What is run, and what came of it.
struct Suite {
    /// Where the programs are.
    programs: PathBuf,
    /// Where runs go.
    runs: PathBuf,
    /// The Python that has PyTorch.
    python: Option<String>,
    /// The result, as Markdown.
    text: String,
    out: PathBuf,
    failures: usize,
    /// When the part that is on must be done.
    until: Instant,
}

/// What `cargo xtask cuda-suite ARGS` does; gives its exit code.
pub(crate) fn suite(args: &[&str]) -> Result<u8> {
    let here = std::env::current_exe().context("where is this program?")?;
    let mut suite = Suite {
        programs: here.parent().unwrap_or(Path::new(".")).to_owned(),
        runs: PathBuf::from("cuda-suite"),
        python: None,
        text: "# What a GPU does\n".to_owned(),
        out: PathBuf::from("cuda-suite.md"),
        failures: 0,
        until: Instant::now(),
    };
    let mut parts = Vec::new();
    let mut words = args.iter().copied();
    while let Some(word) = words.next() {
        let mut value = || words.next().with_context(|| format!("`{word}` needs a value"));
        match word {
            "--against-torch" => suite.python = Some(value()?.to_owned()),
            "--out" => suite.out = value()?.into(),
            "--programs" => suite.programs = value()?.into(),
            part => match PARTS.iter().find(|(name, _)| *name == part) {
                Some(part) => parts.push(part),
                None => bail!(
                    "`{part}` is unknown; known are check, step, sample, small, train, --against-torch, --out, --programs"
                ),
            },
        }
    }
    if parts.is_empty() {
        parts.extend(&PARTS);
    }
    for (name, part) in parts {
        write!(suite.text, "\n## {name}\n")?;
        suite.until = Instant::now() + LIMIT;
        if let Err(error) = part(&mut suite) {
            suite.failures += 1;
            write!(suite.text, "\n**FAILED**: {error:#}\n")?;
        }
        // After each part, so that nothing is lost with the machine.
        fs::write(&suite.out, &suite.text).with_context(|| format!("writing {}", suite.out.display()))?;
    }
    print!("{}", suite.text);
    eprintln!("written to {}", suite.out.display());
    Ok(u8::from(suite.failures > 0))
}

/// Libraries, every operation and the network against the CPU and against PyTorch's fixtures.
fn check(suite: &mut Suite) -> Result<()> {
    suite.run("cccm", &["doctor", "--device", "cuda"])?;
    suite.run("parity", &["--test-threads", "1"])
}

/// Speed and memory of training a large network, against PyTorch if there is one.
fn step(suite: &mut Suite) -> Result<()> {
    bench(suite, &["--size", "L128", "--work", "step"])
}

/// The same of sampling from one.
fn sample(suite: &mut Suite) -> Result<()> {
    bench(suite, &["--size", "L128", "--work", "sample4"])
}

/// The same of a small network.
fn small(suite: &mut Suite) -> Result<()> {
    bench(suite, &["--size", "S"])
}

fn bench(suite: &mut Suite, what: &[&str]) -> Result<()> {
    let program = suite.programs.join("cccm-bench").display().to_string();
    let mut args = vec!["bench", "--device", "cuda", "--program", &program, "--repeats", "2"];
    let python = suite.python.clone();
    if let Some(python) = &python {
        args.extend(["--against-torch", python]);
    }
    args.extend(what);
    suite.run("xtask", &args)
}

/// A teacher of coloured digits, its student, and the scores of both.
fn train(suite: &mut Suite) -> Result<()> {
    let (teacher, student) = (suite.fresh_run("teacher")?, suite.fresh_run("student")?);
    let on_gpu = ["--device", "cuda", "--dtype", "bf16"];
    let run = |suite: &mut Suite, args: &[&str]| suite.run("cccm", &[args, &on_gpu].concat());
    let eval = |suite: &mut Suite, checkpoint: &str, steps: &[&str]| {
        let head = ["eval", "--checkpoint", checkpoint, "--guidance-scale", GUIDANCE_SCALE];
        run(suite, &[&head[..], &["--samples", "20", "--steps"], steps].concat())
    };
    run(suite, &["train-teacher", "--save-path", &teacher, "--max-steps", TEACHER_STEPS])?;
    eval(suite, &teacher, &["50"])?;
    run(suite, &["train", "--teacher", &teacher, "--save-path", &student])?;
    eval(suite, &student, &["1", "2", "4"])
}

impl Suite {
    /// The directory of a run, where nothing is left of an earlier one.
    fn fresh_run(&self, name: &str) -> Result<String> {
        let run = self.runs.join(name);
        if run.exists() {
            fs::remove_dir_all(&run).with_context(|| format!("cannot remove {}", run.display()))?;
        }
        Ok(run.display().to_string())
    }

    /// Runs a program and writes down how it ended, with what it printed.
    fn run(&mut self, program: &str, args: &[&str]) -> Result<()> {
        let shown = format!("{program} {}", args.join(" "));
        eprintln!("$ {shown}");
        fs::create_dir_all(&self.runs).with_context(|| format!("cannot make {}", self.runs.display()))?;
        let log = self.runs.join("output.log");
        let file = File::create(&log).with_context(|| format!("writing {}", log.display()))?;
        let started = Instant::now();
        let mut command = Command::new(self.programs.join(program));
        bundle::settle(&mut command, &self.programs);
        let mut child = command
            .args(args)
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .spawn()
            .with_context(|| format!("starting `{program}` in {}", self.programs.display()))?;
        let ended: Option<ExitStatus> = loop {
            if let Some(status) = child.try_wait()? {
                break Some(status);
            }
            if Instant::now() > self.until {
                child.kill()?;
                child.wait()?;
                break None;
            }
            thread::sleep(Duration::from_millis(200));
        };
        let secs = started.elapsed().as_secs();
        let output = fs::read(&log).with_context(|| format!("reading {}", log.display()))?;
        let output = String::from_utf8_lossy(&output);
        let how = match ended {
            Some(status) if status.success() => format!("{secs} s"),
            Some(status) => format!("**FAILED**, {status}, after {secs} s"),
            None => format!("**STOPPED** after {secs} s"),
        };
        write!(self.text, "\n`{shown}`: {how}\n\n```text\n{}\n```\n", tail(&output).trim_end())?;
        if !ended.is_some_and(|status| status.success()) {
            self.failures += 1;
        }
        Ok(())
    }
}

/// The last lines: progress has many.
fn tail(text: &str) -> String {
    const LINES: usize = 60;
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LINES)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_unknown_is_refused() {
        let message = |args: &[&str]| format!("{:#}", suite(args).unwrap_err());
        assert!(
            message(&["chekc"]).contains("`chekc` is unknown; known are check, step, sample, small, train")
        );
        assert!(message(&["--out"]).contains("`--out` needs a value"));
    }

    fn suite_in(dir: &Path) -> Suite {
        Suite {
            programs: "/bin".into(),
            runs: dir.to_owned(),
            python: None,
            text: String::new(),
            out: dir.join("out.md"),
            failures: 0,
            until: Instant::now() + LIMIT,
        }
    }

    #[test]
    fn the_result_has_all_that_was_run_and_what_failed() {
        let dir = std::env::temp_dir().join(format!("cccm-cuda-suite-{}", std::process::id()));
        let mut suite = suite_in(&dir);
        suite.run("echo", &["all", "well"]).unwrap();
        assert_eq!(suite.failures, 0);
        suite.run("false", &[]).unwrap();
        assert_eq!(suite.failures, 1);
        assert!(suite.run("no-such-program", &[]).is_err());
        suite.until = Instant::now();
        suite.run("sleep", &["60"]).unwrap();
        assert!(suite.failures == 2 && suite.text.contains("`sleep 60`: **STOPPED**"), "{}", suite.text);
        assert!(suite.text.contains("`echo all well`: 0 s\n\n```text\nall well\n```"), "{}", suite.text);
        assert!(suite.text.contains("`false `: **FAILED**"), "{}", suite.text);
        fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn runs_of_an_earlier_suite_go() {
        let dir = std::env::temp_dir().join(format!("cccm-cuda-suite-again-{}", std::process::id()));
        fs::create_dir_all(dir.join("teacher/checkpoints")).unwrap();
        fs::write(dir.join("output.log"), "").unwrap();
        let suite = suite_in(&dir);
        assert_eq!(suite.fresh_run("teacher").unwrap(), dir.join("teacher").display().to_string());
        assert!(suite.fresh_run("student").is_ok());
        assert!(!dir.join("teacher").exists() && dir.join("output.log").exists());
        fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn only_the_last_lines_are_kept() {
        let long: Vec<String> = (0..100).map(|line| line.to_string()).collect();
        let kept = tail(&long.join("\n"));
        assert!(kept.starts_with("40\n") && kept.ends_with("\n99"), "{kept}");
        assert_eq!(tail("one"), "one");
    }
}
