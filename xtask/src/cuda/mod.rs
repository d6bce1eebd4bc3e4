//! `cargo xtask cuda-check` and `cargo xtask cuda-build`: CUDA code where there is no GPU and no CUDA.

mod bundle;
mod kernels;
mod nvcc;
mod nvrtc;
mod stubs;
mod suite;
mod wheels;

use std::env;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

use crate::{cargo_command, root, run_cargo, target_dir};

pub(crate) use suite::suite;

pub(crate) use nvcc::{ENV as AS_NVCC, run as run_as_nvcc};

const FEATURES: &str = "cuda,cudnn,nccl";

/// The version of CUDA that is built against, as cudarc wants it. Drivers refuse kernels that a newer compiler made.
const CUDA_VERSION: &str = "13000";

/// The oldest GPUs that a build runs on, Ampere: its kernels are compiled further on newer ones.
const COMPUTE_CAPABILITY: &str = "80";

/// `cuda-check`: checks all code with CUDA's features on, and compiles our kernels. A part whose tools cannot
/// be downloaded is skipped with a message.
pub(crate) fn check() -> Result<u8> {
    if fetch_crates()? {
        let lint = format!("clippy --workspace --all-targets --features {FEATURES} -- -D warnings");
        let mut command = with_cuda(&lint.split(' ').collect::<Vec<_>>(), "cuda-check")?;
        let code = run_cargo(command.env(nvcc::ENV, nvcc::NONE), &lint)?;
        if code != 0 {
            return Ok(code);
        }
    }
    kernels::check()
}

/// `cuda-build`: programs that start anywhere, and look for CUDA's libraries when they need them.
pub(crate) fn build() -> Result<u8> {
    ensure!(
        cfg!(all(target_os = "linux", target_arch = "x86_64")),
        "cuda-build knows Linux on x86-64 only; where CUDA is installed, `cargo build --release -p cccm-cli --features \
         {FEATURES}` does without"
    );
    let toolkit = wheels::toolkit()?;
    let stubs = stubs::generate(&cudarc_sources()?, &folder("cuda-stubs")?)?;
    let build = format!("build --release -p cccm-cli -p cccm-bench --features {FEATURES}");
    let mut command = with_cuda(&build.split(' ').collect::<Vec<_>>(), "cuda-build")?;
    command.env(nvcc::ENV, toolkit.join("bin/nvcc")).env("CUDA_HOME", &stubs);
    let code = run_cargo(&mut command, &build)?;
    if code != 0 {
        return Ok(code);
    }
    let programs = ["cccm", "cccm-bench"].map(|name| target_dir().join("cuda-build/release").join(name));
    let tests = format!("test --release --no-run --workspace --test parity --features {FEATURES}");
    let mut command = with_cuda(&tests.split(' ').collect::<Vec<_>>(), "cuda-build")?;
    command.env(nvcc::ENV, toolkit.join("bin/nvcc")).env("CUDA_HOME", &stubs);
    let parity = bundle::test_program(&mut command, "cccm-tests", "parity")?;
    for program in &programs {
        let starts = Command::new(program).arg("--help").stdout(Stdio::null()).status();
        let starts = starts.with_context(|| format!("starting {}", program.display()))?;
        ensure!(starts.success(), "{} does not start: {starts}", program.display());
    }
    let [cccm, bench] = programs;
    let this = env::current_exe().context("where is this program?")?;
    let bundle = target_dir().join("cuda-build/bundle");
    bundle::fill(&bundle, &[("cccm", cccm), ("cccm-bench", bench), ("parity", parity), ("xtask", this)])?;
    println!("{}", bundle.display());
    eprintln!(
        "its programs start anywhere; `cccm doctor` tells which libraries of CUDA it finds, in LD_LIBRARY_PATH and where \
         the system has its libraries; `xtask cuda-suite` there checks and measures a GPU"
    );
    Ok(0)
}

/// Whether all crates are there, downloaded or from before.
fn fetch_crates() -> Result<bool> {
    let version = cargo_command().arg("-vV").output().context("starting `cargo`")?.stdout;
    let version = String::from_utf8_lossy(&version);
    let host = version.lines().find_map(|line| line.strip_prefix("host: ")).context("cargo names no host")?;
    let fetch = |how: &str| {
        let mut command = cargo_command();
        command.args(["fetch", "--locked", "--target", host, how]).current_dir(root());
        command.output().context("starting `cargo fetch`")
    };
    if fetch("--offline")?.status.success() {
        return Ok(true);
    }
    let fetched = fetch("--quiet")?;
    if !fetched.status.success() {
        eprint!("{}", String::from_utf8_lossy(&fetched.stderr));
        eprintln!(
            "SKIPPED: type check with {FEATURES}: their crates are not here and cannot be downloaded; `cargo fetch` gets them"
        );
    }
    Ok(fetched.status.success())
}

/// `cargo` with these arguments, a target directory of its own, and this program as `nvcc`.
///
/// The directory is separate, because the crates that run `nvcc` do not notice when `nvcc` is another
/// program.
fn with_cuda(args: &[&str], target_name: &str) -> Result<Command> {
    let mut command = cargo_command();
    command
        .args(args)
        .env("CARGO_TARGET_DIR", target_dir().join(target_name))
        .env("NVCC", env::current_exe().context("where is this program?")?)
        .env("CUDARC_CUDA_VERSION", CUDA_VERSION)
        .env("CUDA_COMPUTE_CAP", COMPUTE_CAPABILITY);
    Ok(command)
}

/// A folder beside what cargo builds, made if need be.
fn folder(name: &str) -> Result<PathBuf> {
    let folder = target_dir().join(name);
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    folder.canonicalize().with_context(|| format!("{} is not there", folder.display()))
}

/// The folder of cudarc's sources, which list CUDA's functions.
fn cudarc_sources() -> Result<PathBuf> {
    let mut command = cargo_command();
    command.args(["metadata", "--format-version", "1", "--features", FEATURES]).current_dir(root());
    let output = command.stderr(Stdio::inherit()).output().context("starting `cargo metadata`")?;
    ensure!(output.status.success(), "`cargo metadata` fails");
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    let packages = metadata["packages"].as_array().context("`cargo metadata` lists no packages")?;
    let Some(cudarc) = packages.iter().find(|package| package["name"] == "cudarc") else {
        bail!("no crate needs cudarc: is candle built with its feature `cuda`?")
    };
    let manifest = PathBuf::from(cudarc["manifest_path"].as_str().context("cudarc has no manifest")?);
    Ok(manifest.parent().context("cudarc lies nowhere")?.to_owned())
}
