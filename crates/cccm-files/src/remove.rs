//! Deleting: what is named, and nothing else.

use std::fs;
use std::io;
use std::path::{Component, Path};

/// What is left of a directory whose files were removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    /// Nothing: it is gone.
    Nothing,
    /// Files or directories that were not named.
    Others,
}

/// Removes files of a directory in this order, and then the directory, if nothing else is in it. A link among them is
/// removed, and what it points to is not touched. What is missing already is no error.
/// - `names`: names without a folder
///
/// # Errors
/// What the file system says at the first that cannot be removed; `InvalidInput` for a name that leads elsewhere, and
/// `NotADirectory` when `dir` is a link or a file, before anything is removed.
pub fn remove_files<'a>(dir: &Path, names: impl IntoIterator<Item = &'a str>) -> io::Result<Left> {
    let names: Vec<&str> = names.into_iter().collect();
    if !names.iter().all(|name| is_one_name(name)) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "a file's name leads out of its directory"));
    }
    match fs::symlink_metadata(dir) {
        Ok(metadata) if metadata.is_dir() => {}
        Ok(_) => return Err(io::Error::new(io::ErrorKind::NotADirectory, "it is no directory")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Left::Nothing),
        Err(error) => return Err(error),
    }
    for name in names {
        match fs::remove_file(dir.join(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    match fs::remove_dir(dir) {
        Ok(()) => Ok(Left::Nothing),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Left::Nothing),
        Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => Ok(Left::Others),
        Err(error) => Err(error),
    }
}

fn is_one_name(name: &str) -> bool {
    let mut parts = Path::new(name).components();
    matches!((parts.next(), parts.next()), (Some(Component::Normal(part)), None) if part == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_named_stays() -> anyhow::Result<()> {
        let temp = tempfile::tempdir()?;
        let dir = temp.path().join("dir");
        fs::create_dir(&dir)?;
        for name in ["a", "b", "notes.txt"] {
            fs::write(dir.join(name), "")?;
        }
        assert_eq!(remove_files(&dir, ["a", "missing", "b"])?, Left::Others);
        assert!(dir.join("notes.txt").exists() && !dir.join("a").exists());
        assert_eq!(remove_files(&dir, ["notes.txt"])?, Left::Nothing);
        assert_eq!(remove_files(&dir, ["a"])?, Left::Nothing);
        Ok(())
    }

    #[test]
    fn nothing_outside_is_reached() -> anyhow::Result<()> {
        let temp = tempfile::tempdir()?;
        let (dir, other) = (temp.path().join("dir"), temp.path().join("other"));
        fs::create_dir(&dir)?;
        fs::create_dir(&other)?;
        fs::write(other.join("a"), "")?;
        for name in ["../other/a", "", ".", "..", "a/b", "/etc/passwd", "a/"] {
            assert!(remove_files(&dir, [name]).is_err(), "{name}");
        }
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink(&other, temp.path().join("link"))?;
            assert!(remove_files(&temp.path().join("link"), ["a"]).is_err());
            std::os::unix::fs::symlink(other.join("a"), dir.join("a"))?;
            assert_eq!(remove_files(&dir, ["a"])?, Left::Nothing);
        }
        assert!(other.join("a").exists());
        Ok(())
    }
}
