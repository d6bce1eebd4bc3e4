use std::fs;
use std::io;
use std::path::Path;

/// Copies all that is in a folder into another, which is made; links stay links.
///
/// # Errors
/// Those of the file system.
pub fn copy_folder(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (path, place) = (entry.path(), to.join(entry.file_name()));
        if path.is_symlink() {
            #[cfg(unix)]
            std::os::unix::fs::symlink(fs::read_link(&path)?, place)?;
        } else if path.is_dir() {
            copy_folder(&path, &place)?;
        } else {
            fs::copy(&path, place)?;
        }
    }
    Ok(())
}
