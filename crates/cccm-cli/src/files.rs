//! Files that exist whole or not at all.

use std::path::Path;

use anyhow::{Context, Result};

/// Writes a file, with the folders above it: beside its place, synced, renamed. An older one is replaced in one step.
pub(crate) fn write_atomically(path: &Path, bytes: &[u8]) -> Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let made = folder.map_or(Ok(()), cccm_files::create_dirs);
    made.and_then(|()| cccm_files::write(path, bytes))
        .with_context(|| format!("cannot write {}", path.display()))
}
