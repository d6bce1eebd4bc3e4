//! Writing: beside the place, synced, renamed, and the directory synced.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::dirs::{folder_of, sync_dir};

/// A file that is written and synced beside its place, and not seen there yet. Dropped, it is gone.
#[derive(Debug)]
#[must_use = "the file is not at its place before `commit`"]
pub struct Pending {
    file: NamedTempFile,
    place: PathBuf,
}

impl Pending {
    /// Writes the file for `place`, whose folder must be there.
    ///
    /// # Errors
    /// What `write` or the file system says, for example that the disk is full; nothing is left behind.
    pub fn new(place: &Path, write: impl FnOnce(&mut File) -> io::Result<()>) -> io::Result<Self> {
        let mut file = temporary(place)?;
        write(file.as_file_mut())?;
        file.as_file().sync_all()?;
        Ok(Self { file, place: place.to_owned() })
    }

    /// [`Self::new`] by a function that wants a name instead of a file; it may put another file there.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn by_name(place: &Path, write: impl FnOnce(&Path) -> io::Result<()>) -> io::Result<Self> {
        let file = temporary(place)?;
        let permissions = file.as_file().metadata()?.permissions();
        write(file.path())?;
        // The other file may be private, and may not have reached the disk.
        let written = File::open(file.path())?;
        written.set_permissions(permissions)?;
        written.sync_all()?;
        Ok(Self { file, place: place.to_owned() })
    }

    /// Where the file lies until it is committed.
    pub fn path(&self) -> &Path {
        self.file.path()
    }

    /// Where it is to lie.
    pub fn place(&self) -> &Path {
        &self.place
    }

    /// Puts the file at its place, in one step, and syncs the directory. A file or a link that is there is replaced.
    ///
    /// # Errors
    /// What the file system says; then the place is as it was, unless only the directory could not be synced.
    pub fn commit(self) -> io::Result<()> {
        self.file.persist(&self.place)?;
        sync_dir(folder_of(&self.place))
    }
}

/// Commits files one after the other: after a power cut the later ones are not there without the earlier ones.
///
/// # Errors
/// As [`Pending::commit`], at the first that fails: the later ones are dropped.
pub fn commit_in_order(files: impl IntoIterator<Item = Pending>) -> io::Result<()> {
    files.into_iter().try_for_each(Pending::commit)
}

/// Writes a file whose folder is there.
///
/// # Errors
/// What the file system says; what was at the place before is still there.
pub fn write(place: &Path, bytes: &[u8]) -> io::Result<()> {
    Pending::new(place, |file| file.write_all(bytes))?.commit()
}

/// Puts whatever `make` makes, such as a link, at a place, in one step.
/// - `make`: makes it at a free name beside the place; called again if that name was taken
///
/// # Errors
/// What `make` or the file system says; what was at the place before is still there.
pub fn write_in_place_of(place: &Path, make: impl FnMut(&Path) -> io::Result<()>) -> io::Result<()> {
    let folder = folder_of(place);
    tempfile::Builder::new().prefix(&hidden(place)).suffix(SUFFIX).make_in(folder, make)?.persist(place)?;
    sync_dir(folder)
}

/// How names of unfinished files end.
const SUFFIX: &str = ".partial";

fn temporary(place: &Path) -> io::Result<NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    let prefix = hidden(place);
    builder.prefix(&prefix).suffix(SUFFIX);
    // Temporary files are private, but this one becomes a result: as readable as the umask allows.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    builder.tempfile_in(folder_of(place))
}

/// A hidden name that tells whose it is, if it is left behind: of long names the start, as all have to fit.
fn hidden(place: &Path) -> String {
    const MOST_CHARS: usize = 40;
    let name = place.file_name().unwrap_or_default().to_string_lossy();
    format!(".{}.", name.chars().take(MOST_CHARS).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn names(dir: &Path) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(dir)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_failed_write_leaves_the_old_file_and_nothing_else() -> anyhow::Result<()> {
        let dir = tempfile::tempdir()?;
        let place = dir.path().join("a");
        write(&place, b"old")?;
        let full = |file: &mut File| {
            file.write_all(b"half")?;
            Err(io::Error::from(io::ErrorKind::StorageFull))
        };
        assert!(Pending::new(&place, full).is_err());
        assert!(Pending::by_name(&place, |_| Err(io::Error::other("no"))).is_err());
        drop(Pending::new(&place, |file| file.write_all(b"new"))?);
        assert_eq!((fs::read(&place)?, names(dir.path())), (b"old".to_vec(), vec!["a".to_owned()]));
        write(&place, b"new")?;
        assert_eq!((fs::read(&place)?, names(dir.path())), (b"new".to_vec(), vec!["a".to_owned()]));
        Ok(())
    }

    #[test]
    fn nothing_is_seen_before_the_last_file_is_written() -> anyhow::Result<()> {
        let dir = tempfile::tempdir()?;
        let (a, b) = (dir.path().join("a"), dir.path().join("b"));
        let first = Pending::new(&a, |file| file.write_all(b"1"))?;
        let second = Pending::by_name(&b, |path| fs::write(path, "2"))?;
        assert!(!a.exists() && !b.exists());
        commit_in_order([first, second])?;
        assert_eq!((fs::read_to_string(a)?, fs::read_to_string(b)?), ("1".to_owned(), "2".to_owned()));
        Ok(())
    }

    #[test]
    fn names_as_long_as_a_file_system_takes_are_taken() -> anyhow::Result<()> {
        let dir = tempfile::tempdir()?;
        let place = dir.path().join("ä".repeat(127));
        write(&place, b"")?;
        assert!(place.exists());
        Ok(())
    }

    #[test]
    #[cfg(unix)]
    fn a_file_is_as_readable_as_any_other_and_a_link_is_not_followed() -> anyhow::Result<()> {
        use std::os::unix::fs::{PermissionsExt, symlink};
        let dir = tempfile::tempdir()?;
        let at = |name: &str| dir.path().join(name);
        fs::write(at("plain"), "untouched")?;
        write(&at("a"), b"")?;
        Pending::by_name(&at("b"), |path| {
            // As a function that writes beside its place, too.
            fs::remove_file(path)?;
            fs::write(path, "")?;
            fs::set_permissions(path, PermissionsExt::from_mode(0o600))
        })?
        .commit()?;
        let mode = |name: &str| fs::metadata(at(name)).map(|metadata| metadata.permissions().mode());
        assert_eq!((mode("a")?, mode("b")?), (mode("plain")?, mode("plain")?));
        symlink(at("plain"), at("link"))?;
        write(&at("link"), b"new")?;
        assert_eq!(fs::read_to_string(at("plain"))?, "untouched");
        write_in_place_of(&at("link"), |fresh| symlink("a", fresh))?;
        assert_eq!(fs::read_link(at("link"))?, Path::new("a"));
        Ok(())
    }
}
