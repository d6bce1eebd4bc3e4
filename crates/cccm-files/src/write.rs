//! Writing: beside the place, synced, renamed, and the directory synced.
//!
//! An unfinished file has the name of its place with six random characters, and is locked for as long as its
//! process lives. So the next write to the same place recognises what a killed process has left, and removes
//! it.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::dirs::{create_dirs, folder_of, sync_dir};

/// A file that is written and synced beside its place, but not visible there yet. Dropping it deletes it.
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

/// [`write()`], with the folders above the place, which are made where they are missing.
///
/// # Errors
/// Those of the file system.
pub fn write_with_folders(place: &Path, bytes: &[u8]) -> io::Result<()> {
    if let Some(folder) = place.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        create_dirs(folder)?;
    }
    write(place, bytes)
}

/// Writes a file whose folder is there.
///
/// # Errors
/// What the file system says; what was at the place before is still there.
pub fn write(place: &Path, bytes: &[u8]) -> io::Result<()> {
    Pending::new(place, |file| file.write_all(bytes))?.commit()
}

/// Puts what `make` creates, such as a link, at a place in one step.
/// - `make`: creates it under the given name beside the place; called again if that name was taken, or if
///   another process removed what it created
///
/// # Errors
/// What `make` or the file system says; what was at the place before is still there.
pub fn write_in_place_of(place: &Path, mut make: impl FnMut(&Path) -> io::Result<()>) -> io::Result<()> {
    let folder = folder_of(place);
    remove_left_behind(place);
    let mut made = || {
        let prefix = hidden(place);
        let made = tempfile::Builder::new().prefix(&prefix).suffix(SUFFIX).make_in(folder, &mut make)?;
        Ok::<_, io::Error>(made.persist(place)?)
    };
    let mut tries = 1;
    loop {
        match made() {
            Err(error) if error.kind() == io::ErrorKind::NotFound && tries < MOST_TRIES => tries += 1,
            put => return put.and_then(|()| sync_dir(folder)),
        }
    }
}

/// How names of unfinished files end.
const SUFFIX: &str = ".partial";
/// Random characters in their names, as `tempfile` draws them.
const RANDOM_CHARS: usize = 6;
/// How often to try again when another process removed the new file, which is not locked yet at the moment of
/// its creation.
const MOST_TRIES: usize = 16;

fn temporary(place: &Path) -> io::Result<NamedTempFile> {
    remove_left_behind(place);
    let mut builder = tempfile::Builder::new();
    let prefix = hidden(place);
    builder.prefix(&prefix).suffix(SUFFIX).rand_bytes(RANDOM_CHARS);
    // Temporary files are private, but this one becomes a result: as readable as the umask allows.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let mut tries = 1;
    loop {
        let file = builder.tempfile_in(folder_of(place))?;
        if is_held(file.as_file())? || tries == MOST_TRIES {
            return Ok(file);
        }
        tries += 1;
    }
}

/// Takes the lock that tells others that this file is in use. False if another process has the lock, or had
/// it and removed the file. Where there are no locks, no process removes anything.
#[cfg(unix)]
fn is_held(file: &File) -> io::Result<bool> {
    use std::os::unix::fs::MetadataExt;
    match file.try_lock() {
        Ok(()) => Ok(file.metadata()?.nlink() > 0),
        Err(fs::TryLockError::WouldBlock) => Ok(false),
        Err(fs::TryLockError::Error(_)) => Ok(true),
    }
}

/// Elsewhere a lock would keep this process itself from reading the file by its name.
#[cfg(not(unix))]
#[expect(clippy::unnecessary_wraps, reason = "as on Unix")]
fn is_held(_file: &File) -> io::Result<bool> {
    Ok(true)
}

/// Removes what killed writes of a place have left beside it. What cannot be removed stays: it is in nobody's way.
fn remove_left_behind(place: &Path) {
    if !cfg!(unix) {
        return;
    }
    let prefix = hidden(place);
    for entry in fs::read_dir(folder_of(place)).into_iter().flatten().flatten() {
        if is_unfinished(&entry.file_name(), &prefix) {
            let _ = remove_unless_held(&entry.path());
        }
    }
}

fn remove_unless_held(path: &Path) -> io::Result<()> {
    if path.symlink_metadata()?.is_symlink() {
        // Links have no lock. They are renamed as soon as they are created, and created again if they are
        // removed before that.
        return fs::remove_file(path);
    }
    match crate::open_locked(path, File::options().read(true))? {
        (_held, crate::Lock::Held) => fs::remove_file(path),
        (_, crate::Lock::Unsupported(_)) => Ok(()),
    }
}

/// Whether a name is that of an unfinished file of this prefix.
fn is_unfinished(name: &OsStr, prefix: &str) -> bool {
    let random = name.to_str().and_then(|name| name.strip_prefix(prefix)?.strip_suffix(SUFFIX));
    random.is_some_and(|text| text.len() == RANDOM_CHARS && text.bytes().all(|b| b.is_ascii_alphanumeric()))
}

/// Start of the hidden name of an unfinished file. It contains the name of the place, of long names only the
/// start.
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
        let second = Pending::new(&b, |file| file.write_all(b"2"))?;
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
        let mode = |name: &str| fs::metadata(at(name)).map(|metadata| metadata.permissions().mode());
        assert_eq!(mode("a")?, mode("plain")?);
        symlink(at("plain"), at("link"))?;
        write(&at("link"), b"new")?;
        assert_eq!(fs::read_to_string(at("plain"))?, "untouched");
        write_in_place_of(&at("link"), |fresh| symlink("a", fresh))?;
        assert_eq!(fs::read_link(at("link"))?, Path::new("a"));
        Ok(())
    }

    #[test]
    #[cfg(unix)]
    fn what_killed_writes_left_goes_and_what_is_in_work_stays() -> anyhow::Result<()> {
        let dir = tempfile::tempdir()?;
        let at = |name: &str| dir.path().join(name);
        let stays =
            [".a.abcdef.partial.txt", ".a.b.abcdef.partial", ".a.abcdefg.partial", ".b.abcdef.partial"];
        for name in stays.iter().chain(&[".a.abcdef.partial"]) {
            fs::write(at(name), "")?;
        }
        std::os::unix::fs::symlink("nowhere", at(".a.LINKED.partial"))?;
        let in_work = Pending::new(&at("a"), |file| file.write_all(b"1"))?;
        write(&at("a"), b"2")?;
        write_in_place_of(&at("a"), |fresh| std::os::unix::fs::symlink("3", fresh))?;
        assert!(!at(".a.abcdef.partial").exists() && !at(".a.LINKED.partial").is_symlink());
        assert!(stays.iter().all(|name| at(name).exists()));
        in_work.commit()?;
        assert_eq!((fs::read(at("a"))?, names(dir.path()).len()), (b"1".to_vec(), 1 + stays.len()));
        Ok(())
    }

    #[test]
    fn many_writers_of_one_place_do_not_hinder_each_other() -> anyhow::Result<()> {
        let dir = tempfile::tempdir()?;
        let place = dir.path().join("a");
        std::thread::scope(|scope| {
            let place = &place;
            let writer = |n: u8| scope.spawn(move || (0..50).try_for_each(|_| write(place, &[n; 9])));
            let writers: Vec<_> = (0..8).map(writer).collect();
            writers.into_iter().try_for_each(|writer| writer.join().unwrap())
        })?;
        let written = fs::read(&place)?;
        assert!(written.len() == 9 && written.iter().all(|byte| *byte == written[0]));
        assert_eq!(names(dir.path()), ["a"]);
        Ok(())
    }
}
