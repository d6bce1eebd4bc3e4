//! A checkpoint as a directory: written beside its place and renamed, read only if every digest holds.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::{Checkpoint, STATE};
use crate::{Error, Result};

pub(super) const SUMS: &str = Checkpoint::SUMS;
/// What stands between digest and name there.
const SUMS_GAP: &str = "  ";

impl Checkpoint {
    /// Name of the file with the digests of all others, in the form that `sha256sum --check` reads: a directory that holds it
    /// is a checkpoint, and damaged once another of its files is changed.
    pub const SUMS: &str = "SHA256SUMS";

    /// Writes the checkpoint as the directory `dir`, creating the ones above it.
    ///
    /// The files are written into a hidden directory beside `dir` and synced to the disk; then it is renamed. So
    /// whoever finds `dir` finds all of it, and a failed or killed write leaves what was there before. A checkpoint of
    /// the same name is replaced.
    ///
    /// # Errors
    /// [`Error::Io`] when a file cannot be written, for example as the disk is full.
    pub fn write(&self, dir: &Path) -> Result<()> {
        let partial = beside(dir, "partial")?;
        let written = self.write_files(&partial).and_then(|()| put_in_place(&partial, dir));
        if written.is_err() {
            // Best effort: the error that counts is the first.
            let _ = fs::remove_dir_all(&partial);
        } else {
            tracing::info!(path = %dir.display(), "checkpoint written");
        }
        written
    }

    fn write_files(&self, dir: &Path) -> Result<()> {
        // A run that was killed in here left its directory behind.
        remove_dir(dir)?;
        fs::create_dir_all(dir).map_err(io_error("create", dir))?;
        let mut sums = Vec::new();
        for (name, bytes) in &self.files {
            write_synced(&dir.join(name), bytes)?;
            sums.push(format!("{}{SUMS_GAP}{name}\n", sha256(bytes)));
        }
        write_synced(&dir.join(SUMS), sums.concat().as_bytes())?;
        sync_dir(dir)
    }

    /// Reads the directory that [`Self::write`] made: all of it, or nothing.
    ///
    /// # Errors
    /// [`Error::DamagedCheckpoint`] naming the first file that is missing, not listed in `SHA256SUMS`, or not what its
    /// digest says; hidden files, which file managers leave, are passed over. [`Error::Io`] when one is there but cannot be
    /// read.
    pub fn read(dir: &Path) -> Result<Self> {
        let sums = read_sums(dir)?;
        let mut files = BTreeMap::new();
        for (name, digest) in sums {
            let bytes = read_file(&dir.join(&name))?;
            if sha256(&bytes) != digest {
                let reason = format!("its {} bytes do not have the digest that {SUMS} says", bytes.len());
                return Err(damaged(dir.join(name), reason));
            }
            files.insert(name, bytes);
        }
        for entry in fs::read_dir(dir).map_err(io_error("read", dir))? {
            let name = entry.map_err(io_error("read", dir))?.file_name();
            let may_be_there = |name: &str| name == SUMS || files.contains_key(name) || name.starts_with('.');
            if !name.to_str().is_some_and(may_be_there) {
                return Err(damaged(dir.join(name), format!("{SUMS} does not list it")));
            }
        }
        let state =
            files.get(STATE).ok_or_else(|| damaged(dir.join(SUMS), format!("it does not list {STATE}")))?;
        let state =
            serde_json::from_slice(state).map_err(|cause| damaged(dir.join(STATE), cause.to_string()))?;
        Ok(Self { state, files })
    }
}

/// Whether a file of a checkpoint may have this name: it never leads out of the directory.
pub(super) fn is_plain(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    !name.is_empty() && !name.starts_with('.') && name.chars().all(plain)
}

/// File names with their digests.
fn read_sums(dir: &Path) -> Result<BTreeMap<String, String>> {
    let path = dir.join(SUMS);
    let text = read_file(&path)?;
    let bad = |number: usize| damaged(path.clone(), format!("line {number} is no digest and file name"));
    let text = String::from_utf8(text).map_err(|_| damaged(path.clone(), "it is no text".to_owned()))?;
    if !text.ends_with('\n') {
        return Err(damaged(path, "its last line is cut off".to_owned()));
    }
    let entry = |(index, line): (usize, &str)| match line.split_once(SUMS_GAP) {
        Some((digest, name)) if is_plain(name) => Ok((name.to_owned(), digest.to_owned())),
        _ => Err(bad(index + 1)),
    };
    text.lines().enumerate().map(entry).collect()
}

fn read_file(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => damaged(path.to_owned(), "it is missing".to_owned()),
        io::ErrorKind::NotADirectory | io::ErrorKind::IsADirectory => {
            damaged(path.to_owned(), error.to_string())
        }
        _ => io_error("read", path)(error),
    })
}

fn damaged(path: PathBuf, reason: String) -> Error {
    Error::DamagedCheckpoint { path, reason }
}

fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// A hidden name next to `dir`, so that renaming one to the other stays on one file system.
fn beside(dir: &Path, what: &str) -> Result<PathBuf> {
    let Some(name) = dir.file_name() else {
        let source = io::Error::new(io::ErrorKind::InvalidInput, "the path does not end in a name");
        return Err(io_error("write a checkpoint to", dir)(source));
    };
    Ok(dir.with_file_name(format!(".{}.{what}", name.to_string_lossy())))
}

fn put_in_place(partial: &Path, dir: &Path) -> Result<()> {
    let replaced = beside(dir, "replaced")?;
    remove_dir(&replaced)?;
    if dir.exists() {
        // A directory cannot be renamed over one that holds files.
        fs::rename(dir, &replaced).map_err(io_error("rename", dir))?;
    }
    if let Err(error) = fs::rename(partial, dir) {
        // Best effort: the error that counts is the first.
        let _ = fs::rename(&replaced, dir);
        return Err(io_error("rename", partial)(error));
    }
    let parent = dir.parent().filter(|parent| !parent.as_os_str().is_empty());
    sync_dir(parent.unwrap_or(Path::new(".")))?;
    remove_dir(&replaced)
}

fn write_synced(path: &Path, bytes: &[u8]) -> Result<()> {
    let write = || {
        let mut file = File::create(path)?;
        file.write_all(bytes)?;
        file.sync_all()
    };
    write().map_err(io_error("write", path))
}

/// Makes the names within `dir` durable; only Unix lets directories be opened for it.
fn sync_dir(dir: &Path) -> Result<()> {
    if cfg!(unix) {
        File::open(dir).and_then(|dir| dir.sync_all()).map_err(io_error("sync", dir))?;
    }
    Ok(())
}

pub(super) fn remove_dir(dir: &Path) -> Result<()> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(io_error("remove", dir)(error)),
        _ => Ok(()),
    }
}

pub(super) fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    move |source| Error::Io { action, path: path.to_owned(), source }
}
