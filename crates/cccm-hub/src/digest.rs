//! The digests that the Hub names files by.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use sha1::Sha1;
use sha2::{Digest as _, Sha256};

/// Bytes read at a time.
const CHUNK: usize = 1 << 17;

/// A digest as the Hub states it, in hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Digest {
    /// Of the content: files in large storage (LFS).
    Sha256(String),
    /// Of `blob LENGTH\0` and the content: files that lie in git itself.
    GitBlob(String),
}

impl Digest {
    /// The digest in an `ETag`, by its length; none if it is another kind of tag.
    pub(crate) fn from_etag(etag: &str) -> Option<Self> {
        let digits = etag.trim_start_matches("W/").trim_matches('"');
        if !digits.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)) {
            return None;
        }
        match digits.len() {
            64 => Some(Self::Sha256(digits.to_owned())),
            40 => Some(Self::GitBlob(digits.to_owned())),
            _ => None,
        }
    }

    /// The hexadecimal digits.
    pub(crate) fn digits(&self) -> &str {
        match self {
            Self::Sha256(digits) | Self::GitBlob(digits) => digits,
        }
    }

    /// The same kind of digest of a file.
    pub(crate) fn same_of(&self, path: &Path) -> io::Result<Self> {
        match self {
            Self::Sha256(_) => Self::sha256(path),
            Self::GitBlob(_) => Self::git_blob(path),
        }
    }

    pub(crate) fn sha256(path: &Path) -> io::Result<Self> {
        Ok(Self::Sha256(hex(&absorb(Sha256::new(), File::open(path)?)?)))
    }

    pub(crate) fn git_blob(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let header = format!("blob {}\0", file.metadata()?.len());
        Ok(Self::GitBlob(hex(&absorb(Sha1::new().chain_update(header), file)?)))
    }
}

fn absorb<D: sha2::Digest>(mut digest: D, mut file: File) -> io::Result<Vec<u8>> {
    let mut chunk = vec![0; CHUNK];
    loop {
        match file.read(&mut chunk)? {
            0 => return Ok(digest.finalize().to_vec()),
            count => digest.update(&chunk[..count]),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    let digit = |half: u8| char::from_digit(half.into(), 16).unwrap_or_default();
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_those_of_sha256sum_and_git_hash_object() -> anyhow::Result<()> {
        let dir = tempfile::tempdir()?;
        let path = dir.path().join("hello");
        std::fs::write(&path, "hello\n")?;
        let sha256 = "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03";
        let git = "ce013625030ba8dba906f756967f9e9ca394464a";
        for digits in [sha256, git] {
            let stated = Digest::from_etag(&format!("W/\"{digits}\"")).unwrap();
            assert_eq!(stated.digits(), digits);
            assert_eq!(stated.same_of(&path)?, stated);
        }
        Ok(())
    }

    #[test]
    fn other_tags_are_no_digests() {
        for tag in ["", "\"abc\"", "../../../../etc/passwd", &"g".repeat(40), &"A".repeat(64)] {
            assert_eq!(Digest::from_etag(tag), None, "{tag}");
        }
    }
}
