//! The contenders: programs that do a job some times over and print one line of JSON.

use std::path::PathBuf;
use std::process::{Command, Output};
use std::{env, fmt};

use anyhow::{Context, Result, bail};

use crate::root;

/// A program that takes a job.
pub(crate) struct Program {
    /// What the table calls it.
    pub(crate) name: String,
    path: PathBuf,
    args: Vec<String>,
}

/// What is timed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Job {
    pub(crate) size: &'static str,
    pub(crate) work: &'static str,
    pub(crate) batch: usize,
    pub(crate) threads: usize,
    /// `cpu` or `cuda`.
    pub(crate) device: &'static str,
}

/// What a process found out.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Run {
    /// Of one call.
    pub(crate) median_s: f64,
    /// Where the system tells; of a GPU's memory if it is computed there.
    pub(crate) peak_bytes: Option<f64>,
    /// Additions and multiplications of one call, if they were counted.
    pub(crate) flops: Option<f64>,
    /// The version of PyTorch, if that is what ran.
    pub(crate) torch: Option<String>,
}

impl Program {
    /// This project: the program of that path, or as `cargo build --release` left it.
    pub(crate) fn cccm(path: Option<&str>) -> Self {
        // Both may be relative to the caller's folder, where `cargo` ran and these processes run.
        let built =
            || crate::target_dir().join("release").join(format!("cccm-bench{}", env::consts::EXE_SUFFIX));
        Self { name: "cccm".to_owned(), path: path.map_or_else(built, PathBuf::from), args: Vec::new() }
    }

    /// The same, computing with these numbers.
    pub(crate) fn with_dtype(self, dtype: &str) -> Self {
        let args = vec!["--dtype".to_owned(), dtype.to_owned()];
        Self { name: format!("{} {dtype}", self.name), args, ..self }
    }

    pub(crate) fn torch(python: &str, mode: &str) -> Self {
        let mut args = script();
        args.extend(["--mode".to_owned(), mode.to_owned()]);
        Self { name: format!("PyTorch {mode}"), path: python.into(), args }
    }

    /// Does the job in a process of its own.
    /// # Errors
    /// With the last line that it wrote to stderr.
    pub(crate) fn run(&self, job: &Job, rounds: usize) -> Result<Run> {
        let mut command = Command::new(&self.path);
        command.args(&self.args).args(["--size", job.size, "--work", job.work]);
        for (flag, value) in [("--batch", job.batch), ("--threads", job.threads), ("--rounds", rounds)] {
            command.arg(flag).arg(value.to_string());
        }
        command.args(["--device", job.device]);
        // What candle goes by.
        command.env("RAYON_NUM_THREADS", job.threads.to_string());
        Run::from_stdout(&finish(command)?)
    }
}

/// Fails if this Python cannot even import what `bench_torch.py` needs.
pub(crate) fn check(python: &str) -> Result<()> {
    let mut command = Command::new(python);
    command.args(script()).arg("--help");
    finish(command).context("trying `--against-torch`")?;
    Ok(())
}

/// Python's arguments; without `-B` it would leave its byte code in the tree.
fn script() -> Vec<String> {
    let path = root().join("crates/cccm-bench/bench_torch.py");
    vec!["-B".to_owned(), path.display().to_string()]
}

/// What the process wrote to stdout, if it went well.
fn finish(mut command: Command) -> Result<String> {
    let program = command.get_program().display().to_string();
    let Output { status, stdout, stderr } =
        command.output().with_context(|| format!("starting `{program}`"))?;
    if !status.success() {
        let stderr = String::from_utf8_lossy(&stderr);
        match stderr.lines().rev().find(|line| !line.trim().is_empty()) {
            Some(line) => bail!("{status}: {line}"),
            None => bail!("{status}"),
        }
    }
    Ok(String::from_utf8_lossy(&stdout).into_owned())
}

impl Run {
    /// From the last line that looks like JSON: libraries print too.
    fn from_stdout(stdout: &str) -> Result<Self> {
        let line = stdout.lines().rev().find(|line| line.starts_with('{')).context("no line of JSON")?;
        let number = |key| value(line, key).and_then(|value| value.parse().ok());
        Ok(Self {
            median_s: number("median_s").context("no `median_s` in the line of JSON")?,
            peak_bytes: number("peak_bytes"),
            flops: number("flops"),
            torch: value(line, "torch").map(|value| value.trim_matches('"').to_owned()),
        })
    }
}

/// The value of a key in one flat line of JSON, whose texts hold neither commas nor braces.
fn value<'a>(line: &'a str, key: &str) -> Option<&'a str> {
    let (_, rest) = line.split_once(&format!("\"{key}\":"))?;
    rest.split([',', '}']).next().map(str::trim)
}

impl fmt::Display for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { size, work, batch, threads, device } = self;
        match *device {
            "cpu" => write!(f, "{size} {work}, batch {batch}, threads {threads}"),
            device => write!(f, "{size} {work}, batch {batch}, {device}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_of_either_program_is_read() {
        let ours = "{\"batch\":8,\"flops\":7,\"median_s\":0.0123,\"min_s\":1e-2,\"mode\":\"cccm\",\"peak_bytes\":null}\n";
        let run = Run { median_s: 0.0123, peak_bytes: None, flops: Some(7.0), torch: None };
        assert_eq!(Run::from_stdout(ours).unwrap(), run);
        let theirs =
            "compiling {\n{\"median_s\": 2.5e-3, \"peak_bytes\": 1024, \"torch\": \"2.11.0+cpu\"}\nbye\n";
        let run = Run {
            median_s: 0.0025,
            peak_bytes: Some(1024.0),
            flops: None,
            torch: Some("2.11.0+cpu".to_owned()),
        };
        assert_eq!(Run::from_stdout(theirs).unwrap(), run);
    }

    #[test]
    fn a_line_without_a_time_is_an_error() {
        for stdout in ["", "0.5\n", "{\"min_s\":0.5}", "{\"median_s\":null}"] {
            assert!(Run::from_stdout(stdout).is_err(), "{stdout}");
        }
    }

    #[test]
    fn the_script_is_where_it_is_looked_for() {
        assert!(PathBuf::from(&script()[1]).is_file());
    }

    #[test]
    fn a_failure_tells_the_last_line_of_stderr() {
        let mut rustc = Command::new("rustc");
        rustc.arg("--no-such-flag");
        let message = format!("{:#}", finish(rustc).unwrap_err());
        assert!(message.contains("exit") && message.contains("no-such-flag"), "{message}");
        let message = format!("{:#}", finish(Command::new("no-such-program")).unwrap_err());
        assert!(message.starts_with("starting `no-such-program`"), "{message}");
    }
}
