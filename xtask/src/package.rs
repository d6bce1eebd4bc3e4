//! `cargo xtask package`: every published crate, built from the files that its package holds.
//!
//! Cargo treats a packaged crate like a published one, which never changes: if it has unpacked or built the
//! same version before, it uses that again, even if the files have changed. So both are removed first: the
//! target directory that packages are built in, and the unpacked files in cargo's home.

use std::path::{Path, PathBuf};
use std::{env, fs, io};

use anyhow::{Context, Result};

/// A dirty tree may be checked too: nothing is published from here.
const PACKAGE: &[&str] = &[
    "package",
    "--workspace",
    "--exclude",
    "cccm-tests",
    "--exclude",
    "cccm-bench",
    "--exclude",
    "xtask",
    "--allow-dirty",
    "--target-dir",
];
/// Name of the target directory, within that of the workspace.
const TARGET: &str = "packages";
/// What the names of our crates start with.
const OURS: &str = "cccm-";
/// Start of the names of cargo's folders for registries on the disk, which unpublished packages come from.
/// Folders of other registries start with a host name.
const ON_DISK: &str = "-";

/// Packages and builds.
pub(crate) fn package() -> Result<u8> {
    let target = crate::target_dir().join(TARGET);
    remove(&target)?;
    if let Some(home) = cargo_home() {
        for unpacked in unpacked(&home.join("registry").join("src"))? {
            remove(&unpacked)?;
        }
    }
    let target = target.to_string_lossy();
    crate::cargo(&[PACKAGE, &[&*target]].concat())
}

fn cargo_home() -> Option<PathBuf> {
    let default = || env::home_dir().map(|home| home.join(".cargo"));
    env::var_os("CARGO_HOME").map(PathBuf::from).or_else(default)
}

/// Our crates among those that cargo unpacked from registries on the disk.
fn unpacked(sources: &Path) -> Result<Vec<PathBuf>> {
    let mut ours = Vec::new();
    for registry in folders(sources, ON_DISK)? {
        ours.extend(folders(&registry, OURS)?);
    }
    Ok(ours)
}

/// The folders in a folder whose names start so; none if there is no such folder.
fn folders(within: &Path, start: &str) -> Result<Vec<PathBuf>> {
    let list = || -> io::Result<Vec<PathBuf>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(within)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() && entry.file_name().to_string_lossy().starts_with(start) {
                found.push(entry.path());
            }
        }
        Ok(found)
    };
    match list() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        other => other.with_context(|| format!("cannot list {}", within.display())),
    }
}

fn remove(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", folder.display()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_crates_of_registries_on_the_disk_go() {
        let sources = env::temp_dir().join(format!("cccm-xtask-{}", std::process::id()));
        for folder in ["-1a/cccm-data-0.1.0", "-1a/rand-0.9.0", "index.crates.io-2b/cccm-data-0.0.9", "-3c"] {
            fs::create_dir_all(sources.join(folder)).unwrap();
        }
        let found = unpacked(&sources);
        fs::remove_dir_all(&sources).unwrap();
        assert_eq!(found.unwrap(), [sources.join("-1a/cccm-data-0.1.0")]);
        assert!(unpacked(&sources).unwrap().is_empty());
        remove(&sources).unwrap();
    }
}
