//! A checkpoint as a directory: written beside its place and renamed, read only if every digest holds.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use cccm_files::{Left, Sums, create_dirs, remove_files, replace_dir, sha256, sync_dir};
use tempfile::TempDir;

use super::{Checkpoint, STATE};
use crate::{Error, Result};

pub(super) const SUMS: &str = Checkpoint::SUMS;
/// Files that only a checkpoint itself puts there.
const OWN: [&str; 7] = [
    "config.json",
    "optimizer.safetensors",
    "sampling.safetensors",
    "state.json",
    "student.safetensors",
    "target.safetensors",
    "teacher.safetensors",
];
/// Suffixes of directories that are being written, and of those that were replaced.
pub(super) const UNFINISHED: [&str; 2] = [".partial", ".replaced"];

impl Checkpoint {
    /// Name of the file with the digests of all others, in the form that `sha256sum --check` reads: a directory that holds it
    /// is a checkpoint, and damaged once one of the files it lists is changed.
    pub const SUMS: &str = "SHA256SUMS";

    /// Writes the checkpoint as the directory `dir`, creating the ones above it.
    ///
    /// The files are written into a hidden directory beside `dir` and synced to the disk; then it is renamed.
    /// So `dir` is complete whenever it exists, and a failed or killed write leaves what was there before. A
    /// checkpoint of the same name is replaced; files that somebody else put into it move to the new one.
    ///
    /// # Errors
    /// [`Error::Io`] when a file cannot be written, for example as the disk is full.
    pub fn write(&self, dir: &Path) -> Result<()> {
        let partial = self.write_beside(dir)?;
        let replaced = replace_dir(partial.path(), dir).map_err(io_error("rename", partial.path()))?;
        // The directory has been renamed, so there is nothing to delete under its temporary name.
        let _ = partial.keep();
        tracing::info!(path = %dir.display(), "checkpoint written");
        if let Some(old) = replaced
            && let Err(error) = put_away(&old, dir)
        {
            // The new checkpoint is complete: leftovers of the old one are no reason to stop.
            tracing::warn!("cannot remove {}: {error}", old.display());
        }
        Ok(())
    }

    fn write_beside(&self, dir: &Path) -> Result<TempDir> {
        let Some(name) = dir.file_name() else {
            let source = io::Error::new(io::ErrorKind::InvalidInput, "the path does not end in a name");
            return Err(io_error("write a checkpoint to", dir)(source));
        };
        let folder = dir.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        create_dirs(folder).map_err(io_error("create", folder))?;
        let partial = temporary(name, folder).map_err(io_error("create a directory in", folder))?;
        let mut sums = Sums::default();
        for (name, bytes) in &self.files {
            write_synced(&partial.path().join(name), bytes)?;
            sums.insert(name, sha256(bytes));
        }
        write_synced(&partial.path().join(SUMS), sums.to_string().as_bytes())?;
        sync_dir(partial.path()).map_err(io_error("sync", partial.path()))?;
        Ok(partial)
    }

    /// Reads the directory that [`Self::write`] made: all of it, or nothing. Files that `SHA256SUMS` does not list, such as
    /// somebody's notes, are passed over.
    ///
    /// # Errors
    /// [`Error::DamagedCheckpoint`] naming the first file that is missing, that belongs to a checkpoint but
    /// is not listed, or that does not match its digest. [`Error::Io`] when a file exists but cannot be read.
    pub fn read(dir: &Path) -> Result<Self> {
        let sums = read_sums(dir)?;
        let mut files = BTreeMap::new();
        for name in sums.names() {
            let bytes = read_file(&dir.join(name))?;
            if sums.get(name) != Some(&sha256(&bytes)) {
                let reason = format!("its {} bytes do not have the digest that {SUMS} says", bytes.len());
                return Err(damaged(dir.join(name), reason));
            }
            files.insert(name.to_owned(), bytes);
        }
        // A file of ours that is not listed: the list has lost whole lines.
        let unlisted = OWN.iter().find(|name| !files.contains_key(**name) && dir.join(name).exists());
        if let Some(name) = unlisted {
            return Err(damaged(dir.join(name), format!("{SUMS} does not list it")));
        }
        let state =
            files.get(STATE).ok_or_else(|| damaged(dir.join(SUMS), format!("it does not list {STATE}")))?;
        let state =
            serde_json::from_slice(state).map_err(|cause| damaged(dir.join(STATE), cause.to_string()))?;
        Ok(Self { state, files })
    }

    /// Removes the files of a checkpoint, and the directory unless somebody else put something into it.
    ///
    /// # Errors
    /// [`Error::DamagedCheckpoint`] when its list of files cannot be parsed: then nothing is removed.
    /// [`Error::Io`] when a file cannot be removed. The list is removed last, so that it still names the
    /// remaining files.
    pub fn remove(dir: &Path) -> Result<Left> {
        let sums = read_sums(dir)?;
        remove_files(dir, sums.names().chain([SUMS])).map_err(io_error("remove", dir))
    }
}

/// Whether a file of a checkpoint may have this name: it never leads out of the directory.
pub(super) fn is_plain(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    !name.is_empty() && !name.starts_with('.') && name.chars().all(plain)
}

/// A hidden directory next to the one of this name, so that both are on one file system and it can be
/// renamed. It is deleted when it is dropped before that.
fn temporary(name: &OsStr, folder: &Path) -> io::Result<TempDir> {
    let mut builder = tempfile::Builder::new();
    let (prefix, [suffix, _]) = (format!(".{}.", name.to_string_lossy()), UNFINISHED);
    builder.prefix(&prefix).suffix(suffix);
    // Temporary directories are private by default, but this one becomes a result: as readable as the umask
    // allows.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o777));
    builder.tempdir_in(folder)
}

/// Removes a checkpoint that was replaced, whole or damaged; what others put into it moves to the new one.
fn put_away(old: &Path, new: &Path) -> Result<()> {
    let sums = read_sums(old).unwrap_or_default();
    let own = sums.names().chain(OWN).chain([SUMS]);
    if remove_files(old, own).map_err(io_error("remove", old))? == Left::Nothing {
        return Ok(());
    }
    for entry in fs::read_dir(old).map_err(io_error("read", old))? {
        let name = entry.map_err(io_error("read", old))?.file_name();
        let place = new.join(&name);
        if !place.exists() {
            fs::rename(old.join(&name), &place).map_err(io_error("move", &place))?;
        }
    }
    remove_files(old, []).map(drop).map_err(io_error("remove", old))
}

/// Removes what a killed [`Checkpoint::write`] left: the plain files of its directory, and the directory if
/// it is empty then.
pub(super) fn remove_leftover(dir: &Path) -> Result<()> {
    let mut names = Vec::new();
    for entry in fs::read_dir(dir).map_err(io_error("read", dir))? {
        let entry = entry.map_err(io_error("read", dir))?;
        let is_file = entry.file_type().map_err(io_error("read", dir))?.is_file();
        names.extend(entry.file_name().into_string().ok().filter(|name| is_file && is_plain(name)));
    }
    remove_files(dir, names.iter().map(String::as_str)).map(drop).map_err(io_error("remove", dir))
}

/// File names with their digests.
fn read_sums(dir: &Path) -> Result<Sums> {
    let path = dir.join(SUMS);
    let sums = Sums::parse(&read_file(&path)?).map_err(|problem| problem.to_string()).and_then(|sums| {
        let bad = sums.names().find(|name| !is_plain(name) || *name == SUMS);
        match bad {
            Some(name) => Err(format!("`{}` is no name of a file in a checkpoint", name.escape_debug())),
            None => Ok(sums),
        }
    });
    sums.map_err(|reason| damaged(path, reason))
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

/// Writes and syncs a file in a directory that is not visible yet.
fn write_synced(path: &Path, bytes: &[u8]) -> Result<()> {
    let write = || {
        let mut file = File::create_new(path)?;
        file.write_all(bytes)?;
        file.sync_all()
    };
    write().map_err(io_error("write", path))
}

pub(super) fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    move |source| Error::Io { action, path: path.to_owned(), source }
}
