//! Files that exist whole or not at all.

use std::path::Path;

use anyhow::{Context, Result};

/// Writes a file, with the folders above it: beside its place, synced, renamed. An older one is replaced in one step.
///
/// # Errors
/// Those of the file system, with the path.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<()> {
    cccm_files::write_with_folders(path, bytes).with_context(|| format!("cannot write {}", path.display()))
}
