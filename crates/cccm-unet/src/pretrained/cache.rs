//! The standard Hub cache: `blobs/DIGEST`, `snapshots/COMMIT/FILE` pointing there, `refs/REVISION` naming the commit.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use hf_hub::Cache;

use super::digest::Digest;
use super::{Fetched, HubError, HubFile, Revision};

/// One file's places in the cache.
pub(super) struct Slot<'a> {
    cache: &'a Cache,
    file: &'a HubFile,
    folder: PathBuf,
}

impl<'a> Slot<'a> {
    pub(super) fn new(cache: &'a Cache, file: &'a HubFile) -> Self {
        let folder = cache.path().join(file.repo.at(&file.revision).folder_name());
        Self { cache, file, folder }
    }

    /// The file as it was last seen at its revision.
    pub(super) fn get(&self) -> Option<Fetched> {
        let commit = if self.file.revision.is_commit() {
            self.file.revision.clone()
        } else {
            fs::read_to_string(self.reference()).ok()?.trim().parse().ok().filter(Revision::is_commit)?
        };
        let path = self.pointer(&commit);
        path.is_file().then_some(Fetched { path, commit })
    }

    pub(super) fn blob(&self, digest: &Digest) -> PathBuf {
        self.repo().blob_path(digest.digits())
    }

    /// Where a download grows; Python's `huggingface_hub` continues it too.
    pub(super) fn partial(&self, digest: &Digest) -> PathBuf {
        self.repo().blob_path(&format!("{}.incomplete", digest.digits()))
    }

    /// Waits until no other process downloads the same content; the lock ends with the file.
    pub(super) fn lock(&self, digest: &Digest) -> Result<File, HubError> {
        let folder = self.cache.path().join(".locks").join(self.folder.file_name().unwrap_or_default());
        let path = folder.join(format!("{}.lock", digest.digits()));
        let locked = || {
            fs::create_dir_all(&folder)?;
            fs::create_dir_all(self.folder.join("blobs"))?;
            let file = File::create(&path)?;
            file.lock()?;
            Ok(file)
        };
        locked().map_err(HubError::io("lock", &path))
    }

    /// Makes a whole blob visible as the file of a commit, and the commit as the revision's.
    pub(super) fn publish(&self, digest: &Digest, commit: &Revision) -> Result<Fetched, HubError> {
        let (blob, path) = (self.blob(digest), self.pointer(commit));
        if !same_file(&blob, &path) {
            self.point(digest, &path).map_err(HubError::io("write", &path))?;
        }
        if !self.file.revision.is_commit() {
            let reference = self.reference();
            write_whole(&reference, commit.as_str()).map_err(HubError::io("write", &reference))?;
        }
        Ok(Fetched { path, commit: commit.clone() })
    }

    /// Links `path` to the blob, relatively, so that the cache may move.
    fn point(&self, digest: &Digest, path: &Path) -> io::Result<()> {
        let parent = path.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(parent)?;
        let fresh = parent.join(format!(".{}-{}", digest.digits(), std::process::id()));
        #[cfg(unix)]
        {
            // Up from `snapshots/COMMIT`, and from the folders of the file within the repository.
            let up = "../".repeat(2 + self.file.file().matches('/').count());
            std::os::unix::fs::symlink(format!("{up}blobs/{}", digest.digits()), &fresh)?;
        }
        #[cfg(not(unix))]
        {
            let blob = self.blob(digest);
            fs::hard_link(&blob, &fresh).or_else(|_| fs::copy(&blob, &fresh).map(|_| ()))?;
        }
        fs::rename(&fresh, path)
    }

    fn repo(&self) -> hf_hub::CacheRepo {
        self.cache.repo(self.file.repo.at(&self.file.revision))
    }

    fn pointer(&self, commit: &Revision) -> PathBuf {
        self.repo().pointer_path(commit.as_str()).join(self.file.file())
    }

    fn reference(&self) -> PathBuf {
        self.folder.join("refs").join(self.file.revision.as_str())
    }
}

fn same_file(a: &Path, b: &Path) -> bool {
    matches!((fs::canonicalize(a), fs::canonicalize(b)), (Ok(a), Ok(b)) if a == b)
}

fn write_whole(path: &Path, text: &str) -> io::Result<()> {
    let parent = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(parent)?;
    let mut file = tempfile::NamedTempFile::new_in(parent)?;
    file.write_all(text.as_bytes())?;
    file.persist(path)?;
    Ok(())
}
