//! Development tasks of the workspace: `cargo xtask TASK`.
//!
//! It stays light, std, anyhow, parsers of JSON and TOML and a loader of libraries, because every task waits for its build. What needs
//! the workspace's crates runs their binary instead.

#![expect(clippy::print_stderr, clippy::print_stdout, reason = "a program for the terminal")]

mod bench;
mod cuda;
mod faults;
mod licences;
mod package;
mod results;
mod soundness;

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::OnceLock;
use std::time::Instant;

use anyhow::Context;

const USAGE: &str = "\
usage: cargo xtask TASK

tasks:
  verify              every check that a commit must pass: format, licences, lints, tests, documentation
  licences            check that every dependency has a licence that deny.toml allows, without a network
  package             build every published crate from the files that its package holds, from nothing: minutes
  cuda-check          check the code for GPUs, with no GPU and no CUDA at hand; compile its kernels where NVRTC can be had
  cuda-build          build programs for GPUs with no CUDA at hand; they start anywhere. Downloads a compiler, 104 MB
  cuda-suite ...      on a machine with a GPU, in the folder that cuda-build has made: check everything against the CPU and
                      against PyTorch's results, measure, train a small model; one result file, no part over nine minutes:
                      cuda-suite [check | step | sample | small | train]... [--against-torch PYTHON] [--out FILE]
  bench ...           time whole networks, on request against PyTorch, as a Markdown table:
                      bench [--against-torch PYTHON] [--size S|L64|L128]... [--work WORK]... [--mode MODE]...
                            [--threads N] [--rounds N] [--repeats N] [--write]
                      bench --device cuda --program PATH ... the same on a GPU, by a cccm-bench that cuda-build has built
                      bench scaling [--threads N] [--rounds N] [--repeats N] [--write]
                      --write puts the table into BENCHMARKS.md
  e2e ...             distil the built-in teacher by the best recipe, score both, and fail where the promises of RESULTS.md do
                      not hold, or where a number of README.md's table is off by more than the spread stated beside it:
                      10 minutes on two cores: e2e [--out DIR] [--continue]
                      it removes its last run from DIR, runs/e2e where none is named, and starts anew; --continue goes on
                      with it
  results ...         train and score the rows of RESULTS.md, and make its tables and figures: 20 minutes on two cores, for
                      screen an hour or more; goes on where it was stopped, and scores anew what is trained:
                      results [--out DIR] [--samples N] [--seeds N...] [--untimed] [screen | main | NAME...]
                      the report is in DIR/report, of other experiments than main in DIR/report-NAME...
                      results [... the same flags] [--mnist DIR] [--faces DIR] [--smoke] FAMILY...
                      families of models, hours each: curve (5 to 40 of 50 pairs held out), coind-uniform, coind-non-uniform,
                      coind-partial (CoInD's Colored MNIST, of the MNIST files in DIR), faces, faces-flip (of the folder DIR of
                      faces as <age>_<gender>); each has its table in DIR/report-FAMILY/accuracy.md. --smoke trains three steps
                      of tiny networks, to see that all of it runs: give it a --out of its own
  faults ...          make every call by which a command changes files fail (ENOSPC, EIO, EACCES) or be its last, one after the
                      other; afterwards everything is old, new, or refused by name, and the next run goes on. Linux on
                      x86-64 with a C compiler; minutes each:
                      faults [train | convert | fetch-teacher | eval | search-steps]...
                      faults COMMAND 'kill 1 rename out/config.json' repeats one try
  soundness [miri | asan]...
                      run tests of the kernels in Miri, and all of them on this CPU's own paths with
                      the address sanitizer. Needs a nightly toolchain; CCCM_NIGHTLY names one
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
    if let Some(real) = env::var_os(cuda::AS_NVCC) {
        return exit_code(cuda::run_as_nvcc(real, &args));
    }
    let outcome = match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["verify"] => verify(),
        ["licences"] => licences::check(),
        ["package"] => package::package(),
        ["cuda-check"] => cuda::check(),
        ["cuda-build"] => cuda::build(),
        ["cuda-suite", ref args @ ..] => cuda::suite(args),
        ["faults", ref args @ ..] => faults::faults(args),
        ["soundness", ref args @ ..] => soundness::soundness(args),
        ["bench", ref args @ ..] => bench::bench(args),
        ["e2e", ref args @ ..] => results::e2e(args),
        ["results", ref args @ ..] => results::results(args),
        // Passes the arguments on unchanged, as they may contain blanks.
        ["fetch-teacher", ..] => {
            cargo(CCCM.split(' ').chain(args.iter().map(String::as_str)).collect::<Vec<_>>().as_slice())
        }
        _ => {
            eprint!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    exit_code(outcome)
}

fn exit_code(outcome: anyhow::Result<u8>) -> ExitCode {
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
    static ROOT: OnceLock<PathBuf> = OnceLock::new();
    ROOT.get_or_init(|| {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        env::var_os(ROOT_ENV).map_or_else(|| here.parent().unwrap_or(here).to_owned(), PathBuf::from)
    })
}

/// Names the folder of the workspace, or of a copy of its files, on machines other than the one this was built on.
pub(crate) const ROOT_ENV: &str = "CCCM_ROOT";

/// Where cargo builds.
pub(crate) fn target_dir() -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// Every check that a commit must pass.
fn verify() -> anyhow::Result<u8> {
    licences::check()?;
    run_all(&VERIFY)
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
    run_cargo(cargo_command().args(args), &shown(args))
}

/// The `cargo` that started this program, without the variables that it has set. Some build scripts, such as
/// that of `ring`, watch these variables: they would rebuild everything that depends on them here, and again
/// when run from a shell.
pub(crate) fn cargo_command() -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    let told = env::vars_os().map(|(name, _)| name).filter(|name| is_of_cargo(&name.to_string_lossy()));
    for name in told {
        command.env_remove(name);
    }
    command
}

/// Whether cargo sets this variable for programs that it runs. Variables by which users configure cargo have
/// other names.
fn is_of_cargo(name: &str) -> bool {
    ["CARGO", "CARGO_CRATE_NAME", "CARGO_PRIMARY_PACKAGE", "OUT_DIR"].contains(&name)
        || ["CARGO_BIN_", "CARGO_MANIFEST_", "CARGO_PKG_"].iter().any(|start| name.starts_with(start))
}

/// Runs a command of cargo, `shown` being its arguments.
pub(crate) fn run_cargo(command: &mut Command, shown: &str) -> anyhow::Result<u8> {
    eprintln!("$ cargo {shown}");
    let start = Instant::now();
    // `cargo doc` takes no flag for this; doc tests read it too.
    let status = command.env("RUSTDOCFLAGS", "-D warnings").status();
    let status = status.with_context(|| format!("starting `cargo {shown}`"))?;
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
