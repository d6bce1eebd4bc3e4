//! Files that belong to one process.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::Path;

/// What a lock is good for.
#[derive(Debug)]
pub enum Lock {
    /// No other process that asks gets the file, until it is closed.
    Held,
    /// The file system has no locks, as it says.
    Unsupported(io::Error),
}

/// Opens a plain file as `options` say: a link is not followed, and a device or a pipe is refused.
///
/// # Errors
/// What the file system says: `FilesystemLoop` or the like for a link; `InvalidInput` for what is no file.
pub fn open_own(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    #[cfg(unix)]
    {
        use rustix::fs::OFlags;
        // Without the second flag, opening a pipe would wait for its other end.
        let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
        std::os::unix::fs::OpenOptionsExt::custom_flags(options, flags.bits() as i32);
    }
    #[cfg(not(unix))]
    if path.symlink_metadata().is_ok_and(|metadata| metadata.is_symlink()) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is a link"));
    }
    let file = options.open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no plain file"));
    }
    Ok(file)
}

/// [`open_own`], for this process alone. Nothing may be truncated by `options`: another process may be at work in the file.
///
/// # Errors
/// `WouldBlock` when another process holds the file; else as [`open_own`].
pub fn open_locked(path: &Path, options: &mut OpenOptions) -> io::Result<(File, Lock)> {
    let file = open_own(path, options)?;
    match file.try_lock() {
        Ok(()) => Ok((file, Lock::Held)),
        Err(TryLockError::WouldBlock) => Err(io::ErrorKind::WouldBlock.into()),
        Err(TryLockError::Error(error)) => Ok((file, Lock::Unsupported(error))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options() -> OpenOptions {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        options
    }

    #[test]
    fn a_file_is_held_by_one_alone() -> anyhow::Result<()> {
        let dir = tempfile::tempdir()?;
        let path = dir.path().join("a");
        let held = open_locked(&path, &mut options())?;
        assert!(matches!(held.1, Lock::Held));
        let refused = open_locked(&path, &mut options()).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::WouldBlock);
        drop(held);
        open_locked(&path, &mut options())?;
        Ok(())
    }

    #[test]
    #[cfg(unix)]
    fn links_and_pipes_are_refused() -> anyhow::Result<()> {
        let dir = tempfile::tempdir()?;
        let at = |name: &str| dir.path().join(name);
        std::fs::write(at("target"), "text")?;
        std::os::unix::fs::symlink(at("target"), at("link"))?;
        rustix::fs::mkfifoat(rustix::fs::CWD, at("pipe"), rustix::fs::Mode::from_raw_mode(0o600))?;
        for name in ["link", "pipe", "."] {
            assert!(open_own(&at(name), &mut options()).is_err(), "{name}");
        }
        assert_eq!(std::fs::read_to_string(at("target"))?, "text");
        Ok(())
    }
}
