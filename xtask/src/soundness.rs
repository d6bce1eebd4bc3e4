//! `cargo xtask soundness`: looks for undefined behaviour in the kernels, which contain the `unsafe` code.
//! Miri, an interpreter that detects it, runs the portable kernels. The address sanitizer runs the kernels
//! for this CPU, which Miri cannot run.

use std::process::{Command, Stdio};

use anyhow::{Context, bail};

/// The default toolchain, which has both tools.
const NIGHTLY: &str = "nightly";
/// Names another one.
const NIGHTLY_ENV: &str = "CCCM_NIGHTLY";
/// Where programs with the sanitizer run, and what rustc needs to be told for it to leave build scripts alone.
const TARGET: &str = "x86_64-unknown-linux-gnu";

/// Tests leave files open when they end, threads of rayon's pool never end, and its queues use pointers in a
/// way that only the newer of Miri's two models allows.
const MIRI_FLAGS: &str = "-Zmiri-disable-isolation -Zmiri-tree-borrows -Zmiri-ignore-leaks";
/// Tests of cccm-kernels that an interpreter can run in minutes: they use slices and pointers directly,
/// without candle's threads.
const INTERPRETED: [&str; 6] = [
    "conv2d::bands",
    "conv2d::direct",
    "conv2d::geometry",
    "conv2d::row_products",
    "gemm::tests::a_product",
    "gemm::tests::sizes",
];
/// Packages whose tests run with the sanitizer.
const SANITIZED: [&str; 2] = ["cccm-kernels", "cccm-optim"];

/// Runs both, or the one that is named.
pub(crate) fn soundness(args: &[&str]) -> anyhow::Result<u8> {
    let parts: &[&str] = if args.is_empty() { &["miri", "asan"] } else { args };
    for part in parts {
        let code = match *part {
            "miri" => miri()?,
            "asan" => asan()?,
            other => bail!("there is no `{other}`: miri, asan"),
        };
        if code != 0 {
            return Ok(code);
        }
    }
    Ok(0)
}

fn miri() -> anyhow::Result<u8> {
    check(&["miri", "--version"], "miri,rust-src")?;
    let args = [&["miri", "test", "-p", "cccm-kernels", "--lib", "--"], &INTERPRETED[..]].concat();
    crate::run_cargo(nightly(&args).env("MIRIFLAGS", MIRI_FLAGS), &args.join(" "))
}

fn asan() -> anyhow::Result<u8> {
    if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        bail!("the sanitizer's run is set up for {TARGET}: run it there");
    }
    check(&["--version"], "rust-src")?;
    let packages: Vec<&str> = SANITIZED.iter().flat_map(|package| ["-p", package]).collect();
    let args = [&["test", "--lib", "--tests", "--target", TARGET], &packages[..]].concat();
    let mut command = nightly(&args);
    // A directory of its own: other flags would make the next ordinary build start anew.
    command.env("CARGO_TARGET_DIR", crate::target_dir().join("asan"));
    command.env("RUSTFLAGS", "-Zsanitizer=address").env("ASAN_OPTIONS", "detect_leaks=0");
    crate::run_cargo(&mut command, &args.join(" "))
}

/// Fails unless the toolchain has what a run needs, with the command that installs it.
fn check(args: &[&str], components: &str) -> anyhow::Result<()> {
    let mut command = nightly(args);
    let output =
        command.stdin(Stdio::null()).output().context("starting `rustup`, which chooses the toolchain")?;
    if output.status.success() {
        return Ok(());
    }
    let toolchain = toolchain();
    bail!(
        "`cargo {}` of the toolchain `{toolchain}` does not run: install it by `rustup toolchain install {toolchain} --component \
         {components}`, or name another one by {NIGHTLY_ENV}\n{}",
        args.join(" "),
        String::from_utf8_lossy(&output.stderr).trim_end()
    )
}

fn toolchain() -> String {
    std::env::var(NIGHTLY_ENV).unwrap_or_else(|_| NIGHTLY.to_owned())
}

/// Cargo of the other toolchain, without what this one has told its programs.
fn nightly(args: &[&str]) -> Command {
    let mut command = Command::new("rustup");
    command.arg("run").arg(toolchain()).arg("cargo").args(args);
    for name in ["CARGO", "RUSTC", "RUSTDOC", "RUSTUP_TOOLCHAIN", "RUSTFLAGS"] {
        command.env_remove(name);
    }
    command
}
