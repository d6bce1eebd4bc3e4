//! Our kernels, compiled as cccm-kernels does at run time.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::{nvrtc::Nvrtc, wheels};
use crate::root;

/// What stands before every kernel.
const HEADER: &str = "crates/cccm-kernels/src/cuda/element.cuh";

/// The oldest GPUs that we run on, and those that we tune for.
const ARCHITECTURES: [&str; 2] = ["sm_80", "sm_90"];

/// Names NVRTC's library.
const LIBRARY_ENV: &str = "NVRTC";

/// Compiles every `.cu` file of the workspace, if NVRTC can be had.
pub(super) fn check() -> Result<u8> {
    let kernels = sources(&root().join("crates"))?;
    let file = match library() {
        Ok(file) => file,
        Err(error) => {
            eprintln!(
                "SKIPPED: compiling {} kernel files: {error:#}; unpack the package {} and set {LIBRARY_ENV} to its \
                 libnvrtc.so.13",
                kernels.len(),
                wheels::NVRTC.requirement
            );
            return Ok(0);
        }
    };
    let nvrtc = Nvrtc::load(&file)?;
    let header = fs::read_to_string(root().join(HEADER)).unwrap_or_default();
    let mut failed = 0;
    for kernel in &kernels {
        let name = kernel.strip_prefix(root()).unwrap_or(kernel).display().to_string();
        let source = fs::read_to_string(kernel).with_context(|| format!("cannot read {name}"))?;
        let text = assembled(&header, &name, &source);
        for architecture in ARCHITECTURES {
            let options = [&format!("--gpu-architecture={architecture}"), "--std=c++17"];
            let (compiles, log) = nvrtc.compiles(&text, &options)?;
            eprintln!("{} {name} for {architecture}", if compiles { "ok" } else { "FAILED" });
            if !log.is_empty() {
                eprintln!("{log}");
            }
            failed += u8::from(!compiles);
        }
    }
    eprintln!("{} kernel files, {failed} failures", kernels.len());
    Ok(u8::from(failed > 0))
}

/// The library that the environment names, else that of the package.
fn library() -> Result<PathBuf> {
    match env::var_os(LIBRARY_ENV) {
        Some(file) => Ok(file.into()),
        None => Ok(wheels::nvrtc()?.join("libnvrtc.so.13")),
    }
}

/// The text that is compiled at run time, with the places that messages name.
fn assembled(header: &str, name: &str, source: &str) -> String {
    format!("#line 1 \"{HEADER}\"\n{header}\n#line 1 \"{name}\"\n{source}")
}

/// All kernel files below a folder, sorted.
fn sources(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let entries = fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(sources(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "cu") {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_name_the_place_in_the_source() {
        let text = assembled("struct A {};", "x/y.cu", "kernel\n");
        assert_eq!(text.lines().skip_while(|line| !line.contains("y.cu")).nth(1), Some("kernel"));
        assert!(text.contains("struct A {};\n"));
    }
}
