//! Where the file of an image lies: on its own, or within another file.

use std::fs::File;
use std::io::{self, Cursor};
use std::path::PathBuf;
use std::sync::Arc;

use crate::{Error, Result, decode};

/// Where the file of an image lies.
#[derive(Clone, Debug)]
pub(crate) enum Place {
    /// A file of its own.
    File(PathBuf),
    /// Some bytes of another file.
    Within(Box<Within>),
}

/// Some bytes of another file, which stays open.
#[derive(Clone, Debug)]
pub(crate) struct Within {
    /// What holds the image, and which one it is.
    pub(crate) shard: Arc<Shard>,
    pub(crate) name: Box<str>,
    /// Where it begins, and its length, in bytes.
    pub(crate) start: u64,
    pub(crate) len: u64,
}

/// A file that holds many images.
#[derive(Debug)]
pub(crate) struct Shard {
    /// What to call it.
    pub(crate) path: PathBuf,
    /// Where the bytes of its images lie.
    pub(crate) bytes: ShardBytes,
}

/// Where the bytes of a shard's images lie.
#[derive(Debug)]
pub(crate) enum ShardBytes {
    /// In an open file: the shard itself, or what was unpacked of it.
    Open(Arc<File>),
    /// In the shard, which has this length and is opened for each image: a process may have only so many files open.
    Reopened(u64),
}

impl Shard {
    fn read_exact_at(&self, bytes: &mut [u8], start: u64) -> io::Result<()> {
        match &self.bytes {
            ShardBytes::Open(file) => read_exact_at(file, bytes, start),
            ShardBytes::Reopened(len) => {
                let file = File::open(&self.path)?;
                if file.metadata()?.len() != *len {
                    return Err(io::Error::other("it has another length than when it was listed"));
                }
                read_exact_at(&file, bytes, start)
            }
        }
    }
}

impl Place {
    /// What to call it: for an image within a file, a path below that.
    pub(crate) fn path(&self) -> PathBuf {
        match self {
            Self::File(path) => path.clone(),
            Self::Within(within) => within.shard.path.join(&*within.name),
        }
    }

    /// The content. Nothing is read beyond what an image may be.
    pub(crate) fn read(&self) -> Result<Vec<u8>> {
        match self {
            Self::File(path) => decode::read(path),
            Self::Within(within) => {
                if within.len > decode::MAX_FILE_BYTES {
                    return Err(Error::Image { path: self.path(), source: decode::too_large() });
                }
                let mut bytes = vec![0; within.len as usize];
                let read = within.shard.read_exact_at(&mut bytes, within.start);
                read.map_err(|source| Error::Io { path: self.path(), source })?;
                Ok(bytes)
            }
        }
    }

    /// Checks all that can be known without decoding.
    pub(crate) fn check_header(&self) -> Result<decode::Header> {
        match self {
            Self::File(path) => decode::check_header(path),
            Self::Within(within) => {
                let start = within.len.min(HEADER_BYTES);
                let mut bytes = vec![0; start as usize];
                let read = within.shard.read_exact_at(&mut bytes, within.start);
                read.map_err(|source| Error::Io { path: self.path(), source })?;
                decode::header(&self.path(), Cursor::new(&bytes), within.len).or_else(|error| {
                    // A header may be longer than most are.
                    if start == within.len { Err(error) } else { self.whole_header() }
                })
            }
        }
    }

    fn whole_header(&self) -> Result<decode::Header> {
        let bytes = self.read()?;
        decode::header(&self.path(), Cursor::new(&bytes), bytes.len() as u64)
    }
}

/// Headers of images are shorter, thumbnails aside.
const HEADER_BYTES: u64 = 64 << 10;

#[cfg(unix)]
fn read_exact_at(file: &File, bytes: &mut [u8], start: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, bytes, start)
}

#[cfg(windows)]
fn read_exact_at(file: &File, mut bytes: &mut [u8], mut start: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        let count = std::os::windows::fs::FileExt::seek_read(file, bytes, start)?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        bytes = &mut bytes[count..];
        start += count as u64;
    }
    Ok(())
}
