//! Directories: made, replaced and synced.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

/// The directory that a name stands in.
pub(crate) fn folder_of(place: &Path) -> &Path {
    place.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Makes a directory and those above it, as far as they are missing, each of which will be there after a power cut.
///
/// # Errors
/// What the file system says, for example that a file has that name.
pub fn create_dirs(dir: &Path) -> io::Result<()> {
    // No name at all is the folder that the program is in.
    if dir.as_os_str().is_empty() || dir.is_dir() {
        return Ok(());
    }
    let parent = folder_of(dir);
    if parent != dir {
        create_dirs(parent)?;
    }
    match fs::create_dir(dir) {
        Ok(()) => sync_dir(parent),
        // Somebody else was faster.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && dir.is_dir() => Ok(()),
        Err(error) => Err(error),
    }
}

/// Makes the names within a directory durable, where the system can: only Unix lets directories be opened for it, and some
/// network file systems have no such thing.
///
/// # Errors
/// What the file system says.
pub fn sync_dir(dir: &Path) -> io::Result<()> {
    if !cfg!(unix) {
        return Ok(());
    }
    match File::open(dir)?.sync_all() {
        Err(error) if matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) => {
            Ok(())
        }
        synced => synced,
    }
}

/// Puts a directory at a place on the same file system. What was there lies under the returned name afterwards, for the caller
/// to remove; none if nothing was there.
///
/// On Linux both change places in one step. Elsewhere there is a moment in which nothing is at the place.
///
/// # Errors
/// What the file system says; then both are where they were.
pub fn replace_dir(new: &Path, place: &Path) -> io::Result<Option<PathBuf>> {
    let old = match fs::symlink_metadata(place) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            fs::rename(new, place)?;
            None
        }
        Err(error) => return Err(error),
        Ok(_) => Some(exchange(new, place)?),
    };
    sync_dir(folder_of(place))?;
    Ok(old)
}

#[cfg(target_os = "linux")]
fn exchange(new: &Path, place: &Path) -> io::Result<PathBuf> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    use rustix::io::Errno;
    match renameat_with(CWD, new, CWD, place, RenameFlags::EXCHANGE) {
        Ok(()) => Ok(new.to_owned()),
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => step_aside(new, place),
        Err(error) => Err(error.into()),
    }
}

#[cfg(not(target_os = "linux"))]
use step_aside as exchange;

/// In two steps: a directory cannot be renamed over one that holds files.
fn step_aside(new: &Path, place: &Path) -> io::Result<PathBuf> {
    let name = new.file_name().unwrap_or_default().to_string_lossy();
    let aside = new.with_file_name(format!("{name}.replaced"));
    fs::rename(place, &aside)?;
    if let Err(error) = fs::rename(new, place) {
        // Best effort: the error that counts is the first.
        let _ = fs::rename(&aside, place);
        return Err(error);
    }
    Ok(aside)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_are_made_with_those_above_and_files_are_in_the_way() -> anyhow::Result<()> {
        let dir = tempfile::tempdir()?;
        let deep = dir.path().join("a/b/c");
        create_dirs(&deep)?;
        create_dirs(&deep)?;
        assert!(deep.is_dir());
        create_dirs(Path::new(""))?;
        fs::write(dir.path().join("file"), "")?;
        assert!(create_dirs(&dir.path().join("file/x")).is_err());
        Ok(())
    }

    #[test]
    fn a_replaced_directory_is_kept_for_the_caller() -> anyhow::Result<()> {
        type Replace = fn(&Path, &Path) -> io::Result<PathBuf>;
        let ways: [Replace; 2] = [exchange, step_aside];
        for way in ways {
            let dir = tempfile::tempdir()?;
            let (new, place) = (dir.path().join("new"), dir.path().join("place"));
            for (folder, text) in [(&new, "new"), (&place, "old")] {
                fs::create_dir(folder)?;
                fs::write(folder.join("file"), text)?;
            }
            let old = way(&new, &place)?;
            assert_eq!(fs::read_to_string(place.join("file"))?, "new");
            assert_eq!(fs::read_to_string(old.join("file"))?, "old");
        }
        let dir = tempfile::tempdir()?;
        fs::create_dir(dir.path().join("new"))?;
        assert_eq!(replace_dir(&dir.path().join("new"), &dir.path().join("place"))?, None);
        assert!(replace_dir(&dir.path().join("missing"), &dir.path().join("place")).is_err());
        assert!(dir.path().join("place").is_dir());
        Ok(())
    }
}
