//! How the workspace is built: crates depend on lower floors alone, modules on each other in no circle, no file is
//! long.
//!
//! This reads sources as text, `use` lines and manifests, and nothing else: a path that is spelled out where it is used
//! (`crate::name()`) is not seen.

#![cfg(test)]

mod circles;
mod floors;
mod lengths;
mod modules;
mod uses;

use std::path::{Path, PathBuf};

use anyhow::Context;
use toml::{Table, Value};

/// The root of the workspace.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// A crate that others may use.
struct Published {
    name: String,
    folder: PathBuf,
    manifest: Table,
}

/// All crates but those of development.
fn published() -> anyhow::Result<Vec<Published>> {
    let mut folders = vec![root().join("assets")];
    for entry in std::fs::read_dir(root().join("crates"))? {
        folders.push(entry?.path());
    }
    folders.sort();
    let mut found = Vec::new();
    for folder in folders.into_iter().filter(|folder| folder.join("Cargo.toml").is_file()) {
        let manifest: Table = std::fs::read_to_string(folder.join("Cargo.toml"))?.parse()?;
        let package = manifest.get("package").context("no package")?;
        if package.get("publish").and_then(Value::as_bool) != Some(false) {
            let name = package.get("name").and_then(Value::as_str).context("no name")?.to_owned();
            found.push(Published { name, folder, manifest });
        }
    }
    Ok(found)
}
