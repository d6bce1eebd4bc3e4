//! NVIDIA's packages for Python: the compiler and NVRTC, without installing CUDA.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use super::folder;

/// `nvcc` and what it needs, 104 MB of downloads.
const TOOLKIT: [&str; 5] = [
    "nvidia-cuda-nvcc==13.0.88",
    "nvidia-nvvm==13.0.88",
    "nvidia-cuda-crt==13.0.88",
    "nvidia-cuda-runtime==13.0.96",
    "nvidia-cuda-cccl==13.0.85",
];

/// The compiler of kernels at run time, 24 MB.
pub(super) const NVRTC: &str = "nvidia-cuda-nvrtc==13.0.88";

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
fn unpacked(folder: &Path, packages: &[&str]) -> Result<()> {
    let (done, downloads) = (folder.join("unpacked"), folder.join("wheels"));
    let names = packages.join("\n");
    if fs::read_to_string(&done).is_ok_and(|text| text == names) {
        return Ok(());
    }
    eprintln!("downloading {}", packages.join(", "));
    let mut pip = python(&["-m", "pip", "download", "--quiet", "--disable-pip-version-check"]);
    pip.args(["--retries", "1", "--timeout", "20", "--no-deps", "--only-binary=:all:", "--dest"]);
    if !pip.arg(&downloads).args(packages).status().is_ok_and(|status| status.success()) {
        bail!("cannot download {}: that takes a network, and python3 with pip", packages.join(", "))
    }
    for wheel in fs::read_dir(&downloads)? {
        let status = python(&["-m", "zipfile", "-e"]).arg(wheel?.path()).arg(folder).status();
        ensure!(status.context("starting python3")?.success(), "a package cannot be unpacked");
    }
    fs::remove_dir_all(&downloads)?;
    fs::write(&done, names)?;
    Ok(())
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
