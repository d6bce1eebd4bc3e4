//! Development tasks of the workspace: `cargo xtask TASK`.
//!
//! It stays light, std, anyhow and a JSON parser, because every task waits for its build. What needs the
//! workspace's crates runs their binary instead.

#![expect(clippy::print_stderr, clippy::print_stdout, reason = "a program for the terminal")]

mod bench;
mod package;
mod results;

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Instant;

use anyhow::Context;

const USAGE: &str = "\
usage: cargo xtask TASK

tasks:
  verify              every check that a commit must pass: format, lints, tests, documentation
  package             build every published crate from the files that its package holds, from nothing: minutes
  bench ...           time whole networks, on request against PyTorch, as a Markdown table:
                      bench [--against-torch PYTHON] [--size S|L64|L128]... [--work WORK]... [--mode MODE]...
                            [--threads N] [--rounds N] [--repeats N] [--write]
                      bench scaling [--threads N] [--rounds N] [--repeats N] [--write]
                      --write puts the table into BENCHMARKS.md
  e2e                 distil the built-in teacher by the best recipe, score both, and fail where the README's promises do not
                      hold: 6 minutes on two cores; goes on where it was stopped, in runs/e2e
  results ...         train and score the rows of RESULTS.md, and make its tables and figures; goes on where it was stopped:
                      results [--out DIR] [--samples N] [--seeds N...] [--untimed] [screen | main | NAME...]
  fetch-teacher ...   download a published teacher: `cccm fetch-teacher` with these arguments
";

/// Every check that a commit must pass, cheapest first.
const VERIFY: [&str; 4] = [
    "fmt --all --check",
    "clippy --workspace --all-targets -- -D warnings",
    "test --workspace",
    "doc --workspace --no-deps",
];

/// What needs the crates runs their binary, optimised.
const CCCM: &str = "run --release -p cccm-cli --";

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    let outcome = match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["verify"] => run_all(&VERIFY),
        ["package"] => package::package(),
        ["bench", ref args @ ..] => bench::bench(args),
        ["e2e", ref args @ ..] => results::e2e(args),
        ["results", ref args @ ..] => results::results(args),
        // The arguments as they are: they may hold blanks.
        ["fetch-teacher", ..] => {
            cargo(CCCM.split(' ').chain(args.iter().map(String::as_str)).collect::<Vec<_>>().as_slice())
        }
        _ => {
            eprint!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The folder of the workspace.
pub(crate) fn root() -> &'static Path {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here)
}

/// Where cargo builds.
pub(crate) fn target_dir() -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// Runs one `cargo` command after the other, up to the first that fails; gives its exit code, or 0.
fn run_all(commands: &[&str]) -> anyhow::Result<u8> {
    for command in commands {
        let code = cargo(&command.split(' ').collect::<Vec<_>>())?;
        if code != 0 {
            return Ok(code);
        }
    }
    Ok(0)
}

/// Runs `cargo ARGS` in the caller's folder and gives its exit code; shows the command before and
/// its seconds after.
fn cargo(args: &[&str]) -> anyhow::Result<u8> {
    let shown = shown(args);
    eprintln!("$ cargo {shown}");
    let start = Instant::now();
    let program = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(program);
    // `cargo doc` takes no flag for this; doc tests read it too.
    command.args(args).env("RUSTDOCFLAGS", "-D warnings");
    let status = command.status().with_context(|| format!("starting `cargo {shown}`"))?;
    let secs = start.elapsed().as_secs();
    if status.success() {
        eprintln!("ok after {secs} s: cargo {shown}");
        return Ok(0);
    }
    eprintln!("FAILED after {secs} s: cargo {shown}");
    // A signal leaves no code; neither may be mistaken for success.
    Ok(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1))
}

/// The arguments as a line, a token's value left out.
fn shown(args: &[&str]) -> String {
    let secret = |index: usize| index > 0 && args[index - 1] == "--token";
    let word = |(index, arg): (usize, &&str)| match arg.split_once('=') {
        _ if secret(index) => "…".to_owned(),
        Some(("--token", _)) => "--token=…".to_owned(),
        _ => (*arg).to_owned(),
    };
    args.iter().enumerate().map(word).collect::<Vec<_>>().join(" ")
}
