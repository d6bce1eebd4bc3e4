//! NVIDIA's packages for Python: the compiler and NVRTC, without installing CUDA.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use super::folder;

/// A package of one version, and the digest of its file for Linux on `x86_64`.
#[derive(Clone, Copy)]
pub(super) struct Wheel {
    pub(super) requirement: &'static str,
    sha256: &'static str,
}

const fn wheel(requirement: &'static str, sha256: &'static str) -> Wheel {
    Wheel { requirement, sha256 }
}

/// `nvcc` and what it needs, 104 MB of downloads.
const TOOLKIT: [Wheel; 5] = [
    wheel("nvidia-cuda-nvcc==13.0.88", "56fe502eb77625a12f25172caa3cdddb4e4c8ba2c8c17dba44b164761b380f03"),
    wheel("nvidia-nvvm==13.0.88", "c5f41ffeb6466944a026dfa5317d7d85355c119bbec279205d22f1869d1054e0"),
    wheel("nvidia-cuda-crt==13.0.88", "2c8043c7c9e02492716426e9919fc78d2c5b3b2a7a768a88e952676b08aa55a4"),
    wheel("nvidia-cuda-runtime==13.0.96", "7f82250d7782aa23b6cfe765ecc7db554bd3c2870c43f3d1821f1d18aebf0548"),
    wheel("nvidia-cuda-cccl==13.0.85", "e0da7ad981f3a8aff08241b5bfc1af868742a63e2762f53a5171c492ef242649"),
];

/// The compiler of kernels at run time, 24 MB.
pub(super) const NVRTC: Wheel =
    wheel("nvidia-cuda-nvrtc==13.0.88", "ad9b6d2ead2435f11cbb6868809d2adeeee302e9bb94bcf0539c7a40d80e8575");

/// Where all of them put their files.
const INSIDE: &str = "nvidia/cu13";

/// The folder of CUDA's compiler, downloaded if need be.
pub(super) fn toolkit() -> Result<PathBuf> {
    let folder = folder("cuda-toolkit")?;
    let cuda = folder.join(INSIDE);
    unpacked(&folder, &TOOLKIT)?;
    for programs in ["bin", "nvvm/bin"] {
        make_executable(&cuda.join(programs))?;
    }
    Ok(cuda)
}

/// The folder with NVRTC's libraries, downloaded if need be.
pub(super) fn nvrtc() -> Result<PathBuf> {
    let folder = folder("cuda-nvrtc")?;
    unpacked(&folder, &[NVRTC])?;
    Ok(folder.join(INSIDE).join("lib"))
}

/// Downloads and unpacks, unless that was done already.
fn unpacked(folder: &Path, wheels: &[Wheel]) -> Result<()> {
    let (done, downloads) = (folder.join("unpacked"), folder.join("wheels"));
    let (wanted, names) = (requirements(wheels), listed(wheels));
    if fs::read_to_string(&done).is_ok_and(|text| text == wanted) {
        return Ok(());
    }
    eprintln!("downloading {names}");
    let list = folder.join("requirements.txt");
    fs::write(&list, &wanted)?;
    let mut pip = python(&["-m", "pip", "download", "--quiet", "--disable-pip-version-check"]);
    pip.args(["--retries", "1", "--timeout", "20", "--no-deps", "--only-binary=:all:", "--dest"]);
    // With digests in the list, pip takes no file that has another one.
    if !pip.arg(&downloads).arg("--requirement").arg(&list).status().is_ok_and(|status| status.success()) {
        bail!("cannot download {names}: that takes a network, and python3 with pip")
    }
    for wheel in fs::read_dir(&downloads)? {
        let status = python(&["-m", "zipfile", "-e"]).arg(wheel?.path()).arg(folder).status();
        ensure!(status.context("starting python3")?.success(), "a package cannot be unpacked");
    }
    fs::remove_dir_all(&downloads)?;
    fs::write(&done, wanted)?;
    Ok(())
}

/// The list that pip reads, with digests where they are known.
fn requirements(wheels: &[Wheel]) -> String {
    let is_known = cfg!(all(target_os = "linux", target_arch = "x86_64"));
    let line = |Wheel { requirement, sha256 }: &Wheel| {
        let digest = if is_known { format!(" --hash=sha256:{sha256}") } else { String::new() };
        format!("{requirement}{digest}\n")
    };
    wheels.iter().map(line).collect()
}

fn listed(wheels: &[Wheel]) -> String {
    wheels.iter().map(|wheel| wheel.requirement).collect::<Vec<_>>().join(", ")
}

fn python(args: &[&str]) -> Command {
    let mut command = Command::new("python3");
    command.args(args);
    command
}

/// Python's unpacking forgets which files are programs.
fn make_executable(folder: &Path) -> Result<()> {
    for file in fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let path = file?.path();
        #[cfg(unix)]
        if path.is_file() {
            fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
        }
        #[cfg(not(unix))]
        let _ = path;
    }
    Ok(())
}
