//! The standard Hub cache: `blobs/DIGEST`, `snapshots/COMMIT/FILE` pointing there, `refs/REVISION` naming the commit, and
//! `.no_exist/COMMIT/FILE` for a file that the Hub says the commit does not have.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use cccm_files::{create_dirs, open_own, write, write_in_place_of};
use hf_hub::Cache;

use crate::digest::Digest;
use crate::{Error, HubFile, Result, Revision};

/// A file in the cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// Where it lies, under its name in the repository.
    pub path: PathBuf,
    /// The commit it is from: name it to get other files of the same state.
    pub commit: Revision,
}

/// One file's places in the cache.
pub(crate) struct Slot<'a> {
    cache: &'a Cache,
    file: &'a HubFile,
    folder: PathBuf,
}

impl<'a> Slot<'a> {
    pub(crate) fn new(cache: &'a Cache, file: &'a HubFile) -> Self {
        let folder = cache.path().join(file.repo.at(&file.revision).folder_name());
        Self { cache, file, folder }
    }

    /// The file as it was last seen at its revision, if its content still has its digest.
    pub(crate) fn get(&self) -> Option<Fetched> {
        let commit = self.commit()?;
        let path = self.pointer(&commit);
        if !path.is_file() {
            return None;
        }
        // Where there are links, a blob's name says its digest.
        let blob = fs::canonicalize(&path).ok()?;
        let digest = blob.file_name().and_then(|name| Digest::from_etag(name.to_str()?));
        if digest.is_some_and(|digest| digest.same_of(&blob).ok().as_ref() != Some(&digest)) {
            tracing::warn!("{} is damaged: its content does not have its digest", blob.display());
            return None;
        }
        Some(Fetched { path, commit })
    }

    /// Names of the files of the commit that the revision was last seen at, as far as they are in the cache.
    pub(crate) fn names(&self) -> Option<Vec<String>> {
        let root = self.folder.join("snapshots").join(self.commit()?.as_str());
        let (mut names, mut folders) = (Vec::new(), vec![root.clone()]);
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).ok()?.flatten() {
                let path = entry.path();
                if path.is_dir() {
                    folders.push(path);
                } else if let Some(name) = path.strip_prefix(&root).ok().and_then(Path::to_str) {
                    names.push(name.replace('\\', "/"));
                }
            }
        }
        names.sort();
        Some(names)
    }

    /// The commit that the revision was last seen at.
    fn commit(&self) -> Option<Revision> {
        if self.file.revision.is_commit() {
            return Some(self.file.revision.clone());
        }
        fs::read_to_string(self.reference()).ok()?.trim().parse().ok().filter(Revision::is_commit)
    }

    /// Whether the Hub has said that the commit, which never changes, does not have the file.
    pub(crate) fn is_absent(&self) -> bool {
        self.commit().is_some_and(|commit| self.absence(&commit).is_file())
    }

    /// Remembers that the commit does not have the file. Where that fails the Hub is asked once more, and nothing else is lost.
    pub(crate) fn mark_absent(&self) {
        let Some(commit) = self.commit().filter(|_| self.file.revision.is_commit()) else { return };
        let path = self.absence(&commit);
        let marked = path.parent().map_or(Ok(()), create_dirs).and_then(|()| write(&path, b""));
        if let Err(error) = marked {
            tracing::debug!("cannot write {}: {error}", path.display());
        }
    }

    pub(crate) fn blob(&self, digest: &Digest) -> PathBuf {
        self.repo().blob_path(digest.digits())
    }

    /// Where a download grows; Python's `huggingface_hub` continues it too.
    pub(crate) fn partial(&self, digest: &Digest) -> PathBuf {
        self.repo().blob_path(&format!("{}.incomplete", digest.digits()))
    }

    /// Waits until no other process downloads the same content; the lock ends with the file.
    pub(crate) fn lock(&self, digest: &Digest) -> Result<File> {
        let folder = self.cache.path().join(".locks").join(self.folder.file_name().unwrap_or_default());
        let path = folder.join(format!("{}.lock", digest.digits()));
        let locked = || {
            create_dirs(&folder)?;
            create_dirs(&self.folder.join("blobs"))?;
            let file = open_own(&path, OpenOptions::new().write(true).create(true).truncate(false))?;
            file.lock()?;
            Ok(file)
        };
        locked().map_err(Error::io("lock", &path))
    }

    /// Makes a whole blob visible as the file of a commit, and the commit as the revision's.
    pub(crate) fn publish(&self, digest: &Digest, commit: &Revision) -> Result<Fetched> {
        let (blob, path) = (self.blob(digest), self.pointer(commit));
        if !same_file(&blob, &path) {
            self.point(digest, &path).map_err(Error::io("write", &path))?;
        }
        if !self.file.revision.is_commit() {
            let reference = self.reference();
            // A shared cache may be read-only: do not write what is already there.
            if fs::read(&reference).ok().as_deref() != Some(commit.as_str().as_bytes()) {
                let written = reference.parent().map_or(Ok(()), create_dirs);
                let written = written.and_then(|()| write(&reference, commit.as_str().as_bytes()));
                written.map_err(Error::io("write", &reference))?;
            }
        }
        Ok(Fetched { path, commit: commit.clone() })
    }

    /// Links `path` to the blob, relatively, so that the cache may move.
    fn point(&self, digest: &Digest, path: &Path) -> io::Result<()> {
        create_dirs(path.parent().unwrap_or(Path::new(".")))?;
        write_in_place_of(path, |fresh| {
            #[cfg(unix)]
            {
                // Up from `snapshots/COMMIT`, and from the folders of the file within the repository.
                let up = "../".repeat(2 + self.file.file().matches('/').count());
                std::os::unix::fs::symlink(format!("{up}blobs/{}", digest.digits()), fresh)
            }
            #[cfg(not(unix))]
            {
                let blob = self.blob(digest);
                fs::hard_link(&blob, fresh).or_else(|_| fs::copy(&blob, fresh).map(|_| ()))
            }
        })
    }

    fn repo(&self) -> hf_hub::CacheRepo {
        self.cache.repo(self.file.repo.at(&self.file.revision))
    }

    fn pointer(&self, commit: &Revision) -> PathBuf {
        self.repo().pointer_path(commit.as_str()).join(self.file.file())
    }

    fn absence(&self, commit: &Revision) -> PathBuf {
        self.folder.join(".no_exist").join(commit.as_str()).join(self.file.file())
    }

    fn reference(&self) -> PathBuf {
        self.folder.join("refs").join(self.file.revision.as_str())
    }
}

fn same_file(a: &Path, b: &Path) -> bool {
    matches!((fs::canonicalize(a), fs::canonicalize(b)), (Ok(a), Ok(b)) if a == b)
}
