//! Bytes kept for the next process, which trusts them.

use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::lock::open_own;
use crate::write::Pending;

/// What every kept file begins with; its last byte is the version.
const MAGIC: [u8; 8] = *b"cccmkep\x01";
const LEN_BYTES: usize = 8;
const DIGEST_BYTES: usize = 32;
/// Bytes before the content: magic, length, digest of name and content.
const HEADER: usize = MAGIC.len() + LEN_BYTES + DIGEST_BYTES;

/// A folder that only this user may write to. Its files are given back only if they are as they were kept:
/// for content that a reader has to trust, such as machine code.
///
/// The folder has mode 0700. Nothing is read if the folder or the file belongs to somebody else, or if others
/// may write to it. The digest detects damaged files, not forged ones; owner and mode protect against those.
#[derive(Clone, Debug)]
pub struct PrivateCache {
    folder: PathBuf,
}

impl PrivateCache {
    /// The cache in a folder; it need not exist yet.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into() }
    }

    /// The content kept under a name. None if there is none or it cannot be trusted: the caller has to make
    /// it again.
    /// - `name`: a file's name, without a folder
    pub fn get(&self, name: &str) -> Option<Vec<u8>> {
        if !is_private(&fs::symlink_metadata(&self.folder).ok()?) {
            return None;
        }
        let mut file = open_own(&self.folder.join(name), OpenOptions::new().read(true)).ok()?;
        let metadata = file.metadata().ok()?;
        if !is_private(&metadata) {
            return None;
        }
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).ok()?;
        let (header, content) = bytes.split_at_checked(HEADER)?;
        (header == header_of(name, content)).then(|| content.to_vec())
    }

    /// Keeps bytes under a name, whole or not at all.
    ///
    /// # Errors
    /// Those of the file system; usually only the time to make the content again is lost. `PermissionDenied`
    /// when the folder belongs to somebody else.
    pub fn put(&self, name: &str, content: &[u8]) -> io::Result<()> {
        self.make_private()?;
        let write = |file: &mut fs::File| {
            make_mode(file, 0o600)?;
            file.write_all(&header_of(name, content))?;
            file.write_all(content)
        };
        Pending::new(&self.folder.join(name), write)?.commit()
    }

    fn make_private(&self) -> io::Result<()> {
        crate::create_dirs(crate::dirs::folder_of(&self.folder))?;
        let mut builder = fs::DirBuilder::new();
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        match builder.create(&self.folder) {
            Ok(()) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
        let metadata = fs::symlink_metadata(&self.folder)?;
        if is_private(&metadata) {
            return Ok(());
        }
        if !metadata.is_dir() || !is_own(&metadata) {
            let problem = "the folder of the cache belongs to somebody else";
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, problem));
        }
        // Others could write here until now, so the contents cannot be trusted.
        empty(&self.folder)?;
        make_mode(&fs::File::open(&self.folder)?, 0o700)
    }
}

fn header_of(name: &str, content: &[u8]) -> [u8; HEADER] {
    let digest = Sha256::new().chain_update(name).chain_update([0]).chain_update(content).finalize();
    let mut header = [0; HEADER];
    let (magic, rest) = header.split_at_mut(MAGIC.len());
    let (len, sum) = rest.split_at_mut(LEN_BYTES);
    magic.copy_from_slice(&MAGIC);
    len.copy_from_slice(&(content.len() as u64).to_le_bytes());
    sum.copy_from_slice(&digest);
    header
}

/// Removes the plain files of a folder.
fn empty(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if !entry.file_type()?.is_dir() {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Whether this user owns it, and nobody else may write to it.
fn is_private(metadata: &fs::Metadata) -> bool {
    #[cfg(unix)]
    {
        const WRITABLE_BY_OTHERS: u32 = 0o022;
        let mode = std::os::unix::fs::PermissionsExt::mode(&metadata.permissions());
        !metadata.is_symlink() && is_own(metadata) && mode & WRITABLE_BY_OTHERS == 0
    }
    #[cfg(not(unix))]
    {
        !metadata.is_symlink()
    }
}

fn is_own(metadata: &fs::Metadata) -> bool {
    #[cfg(unix)]
    {
        own_user() == Some(std::os::unix::fs::MetadataExt::uid(metadata))
    }
    #[cfg(not(unix))]
    {
        let _ = metadata;
        true
    }
}

/// The user that files of this process belong to, found by creating one; none if that fails.
#[cfg(unix)]
fn own_user() -> Option<u32> {
    static USER: std::sync::OnceLock<Option<u32>> = std::sync::OnceLock::new();
    let of_a_file = || {
        let metadata = tempfile::tempfile().and_then(|file| file.metadata()).ok()?;
        Some(std::os::unix::fs::MetadataExt::uid(&metadata))
    };
    *USER.get_or_init(of_a_file)
}

fn make_mode(file: &fs::File, mode: u32) -> io::Result<()> {
    #[cfg(unix)]
    {
        file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(mode))
    }
    #[cfg(not(unix))]
    {
        let _ = (file, mode);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_cut_changed_longer_or_another_is_not_given_back() -> anyhow::Result<()> {
        let dir = tempfile::tempdir()?;
        let cache = PrivateCache::new(dir.path().join("deep/kept"));
        assert_eq!(cache.get("a"), None);
        cache.put("a", b"machine code")?;
        assert_eq!(cache.get("a").as_deref(), Some(&b"machine code"[..]));
        let path = dir.path().join("deep/kept/a");
        let whole = fs::read(&path)?;
        for len in 0..whole.len() {
            fs::write(&path, &whole[..len])?;
            assert_eq!(cache.get("a"), None, "{len} bytes of it");
        }
        for place in 0..whole.len() {
            let mut changed = whole.clone();
            changed[place] ^= 1;
            fs::write(&path, changed)?;
            assert_eq!(cache.get("a"), None, "byte {place} changed");
        }
        fs::write(&path, [&whole[..], b"x"].concat())?;
        assert_eq!(cache.get("a"), None);
        fs::write(dir.path().join("deep/kept/b"), &whole)?;
        assert_eq!(cache.get("b"), None, "the file of another name");
        cache.put("a", b"anew")?;
        assert_eq!(cache.get("a").as_deref(), Some(&b"anew"[..]));
        Ok(())
    }

    #[test]
    #[cfg(unix)]
    fn a_folder_that_others_may_write_to_is_not_trusted_and_made_private() -> anyhow::Result<()> {
        use std::os::unix::fs::{PermissionsExt, symlink};
        let dir = tempfile::tempdir()?;
        let folder = dir.path().join("kept");
        let cache = PrivateCache::new(&folder);
        cache.put("a", b"1")?;
        let mode = |path: &Path| fs::metadata(path).map(|metadata| metadata.permissions().mode() & 0o777);
        assert_eq!((mode(&folder)?, mode(&folder.join("a"))?), (0o700, 0o600));
        let set = |path: &Path, mode: u32| fs::set_permissions(path, PermissionsExt::from_mode(mode));
        set(&folder.join("a"), 0o620)?;
        assert_eq!(cache.get("a"), None);
        set(&folder.join("a"), 0o600)?;
        set(&folder, 0o777)?;
        assert_eq!(cache.get("a"), None);
        cache.put("b", b"2")?;
        assert_eq!((mode(&folder)?, cache.get("a"), cache.get("b")), (0o700, None, Some(b"2".to_vec())));
        // Read-only is fine to read from.
        set(&folder, 0o500)?;
        assert_eq!(cache.get("b"), Some(b"2".to_vec()));
        set(&folder, 0o700)?;
        symlink(&folder, dir.path().join("link"))?;
        let linked = PrivateCache::new(dir.path().join("link"));
        assert_eq!(linked.get("b"), None);
        assert!(linked.put("b", b"3").is_err());
        Ok(())
    }
}
