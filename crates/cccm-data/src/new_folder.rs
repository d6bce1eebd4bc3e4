//! A folder that appears whole or not at all.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use tempfile::TempDir;

use crate::{Error, Result};

/// Name of the folder with the contents, inside the temporary folder. The temporary folder is private to
/// its user; this one has the permissions of any other folder.
const CONTENTS: &str = "contents";

/// A folder that is filled under a hidden name beside its place (`.NAME.….partial`) and then renamed.
///
/// Dropped without [`NewFolder::finish`], it is removed again. A process that is killed leaves the
/// hidden folder behind, which no dataset reads and which may be deleted.
#[derive(Debug)]
pub(crate) struct NewFolder {
    place: PathBuf,
    temporary: TempDir,
}

impl NewFolder {
    /// Begins a folder that will be `place`, with the folders above it.
    ///
    /// # Errors
    /// [`Error::FolderTaken`] when something is there that is not an empty folder, [`Error::Write`].
    pub(crate) fn create(place: &Path) -> Result<Self> {
        check_free(place)?;
        let cannot_write = |source| Error::Write { path: place.to_owned(), source };
        // Absolute, so that `.` and `DIR/..` have a name and a place beside them.
        let place = std::path::absolute(place).map_err(cannot_write)?;
        let (Some(parent), Some(_)) = (place.parent(), place.file_name()) else {
            return Err(Error::FolderTaken { path: place });
        };
        fs::create_dir_all(parent).map_err(cannot_write)?;
        let prefix = format!(".{}.", place.file_name().unwrap_or_default().to_string_lossy());
        let temporary = tempfile::Builder::new().prefix(&prefix).suffix(".partial").tempdir_in(parent);
        let folder = Self { temporary: temporary.map_err(cannot_write)?, place };
        folder.make_dir("")?;
        Ok(folder)
    }

    /// Where things are until [`NewFolder::finish`].
    pub(crate) fn path(&self) -> PathBuf {
        self.temporary.path().join(CONTENTS)
    }

    /// Makes the folder `name` in it.
    pub(crate) fn make_dir(&self, name: &str) -> Result<PathBuf> {
        let path = self.path().join(name);
        fs::create_dir(&path).map_err(|source| Error::Write { path: path.clone(), source })?;
        Ok(path)
    }

    /// Gives the folder its name.
    ///
    /// # Errors
    /// As [`NewFolder::create`], when somebody else has taken the place meanwhile.
    pub(crate) fn finish(self) -> Result<()> {
        check_free(&self.place)?;
        let renamed = remove_if_empty(&self.place).and_then(|()| fs::rename(self.path(), &self.place));
        renamed.map_err(|source| Error::Write { path: self.place.clone(), source })
    }
}

fn check_free(place: &Path) -> Result<()> {
    match fs::read_dir(place) {
        Ok(mut entries) => match entries.next() {
            None => Ok(()),
            Some(_) => Err(Error::FolderTaken { path: place.to_owned() }),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound && !place.is_symlink() => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            Err(Error::Write { path: place.to_owned(), source: error })
        }
        Err(_) => Err(Error::FolderTaken { path: place.to_owned() }),
    }
}

/// Renaming replaces an empty folder on some systems only. `remove_dir` never removes contents.
fn remove_if_empty(place: &Path) -> io::Result<()> {
    match fs::remove_dir(place) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(dir: &Path) -> Vec<String> {
        let entries = fs::read_dir(dir).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn it_appears_when_it_is_finished() {
        let dir = tempfile::tempdir().unwrap();
        for place in [dir.path().join("new/deep"), dir.path().join("empty")] {
            if place.ends_with("empty") {
                fs::create_dir(&place).unwrap();
            }
            let folder = NewFolder::create(&place).unwrap();
            fs::write(folder.make_dir("a_b").unwrap().join("file"), "1").unwrap();
            assert!(!place.join("a_b").exists());
            folder.finish().unwrap();
            assert_eq!(fs::read_to_string(place.join("a_b/file")).unwrap(), "1");
            assert_eq!(names(place.parent().unwrap()).iter().filter(|name| name.starts_with('.')).count(), 0);
        }
    }

    #[cfg(unix)]
    #[test]
    fn it_has_the_permissions_of_any_folder() {
        use std::os::unix::fs::PermissionsExt as _;

        let dir = tempfile::tempdir().unwrap();
        let (place, plain) = (dir.path().join("place"), dir.path().join("plain"));
        NewFolder::create(&place).unwrap().finish().unwrap();
        fs::create_dir(&plain).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode(&place), mode(&plain));
    }

    #[test]
    fn a_failed_one_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let folder = NewFolder::create(&dir.path().join("place")).unwrap();
        fs::write(folder.path().join("file"), "1").unwrap();
        assert!(names(dir.path())[0].starts_with(".place."));
        drop(folder);
        assert_eq!(names(dir.path()), [""; 0]);
    }

    #[test]
    fn what_is_there_is_not_touched() {
        let dir = tempfile::tempdir().unwrap();
        let (full, file) = (dir.path().join("full"), dir.path().join("file"));
        fs::create_dir(&full).unwrap();
        fs::write(full.join("old"), "old").unwrap();
        fs::write(&file, "old").unwrap();
        for place in [&full, &file, Path::new("/")] {
            let error = NewFolder::create(place).unwrap_err();
            assert!(matches!(&error, Error::FolderTaken { path } if path == place), "{error:?}");
        }

        let late = dir.path().join("late");
        let folder = NewFolder::create(&late).unwrap();
        fs::create_dir(&late).unwrap();
        fs::write(late.join("old"), "old").unwrap();
        assert!(matches!(folder.finish(), Err(Error::FolderTaken { .. })));
        assert_eq!(names(&late), ["old"]);
        assert_eq!(names(dir.path()).len(), 3);
    }
}
