//! Digests of files, in the form that `sha256sum --check` reads.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};

use sha2::{Digest, Sha256};

/// What stands between digest and name.
const GAP: &str = "  ";
/// Bytes read at a time.
const CHUNK: usize = 1 << 17;

/// SHA-256 digests of files by name.
///
/// ```
/// use cccm_files::Sums;
///
/// let mut sums = Sums::default();
/// sums.insert("a.txt", cccm_files::sha256(b"hello\n"));
/// let text = sums.to_string();
/// assert!(text.ends_with("be03  a.txt\n"));
/// assert_eq!(Sums::parse(text.as_bytes())?.get("a.txt"), sums.get("a.txt"));
/// # Ok::<(), cccm_files::SumsProblem>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sums(BTreeMap<String, String>);

/// Why bytes are no [`Sums`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SumsProblem {
    /// They are no UTF-8.
    NoText,
    /// The last line has no end.
    CutOff,
    /// A line that is no digest and name, counted from 1.
    BadLine(usize),
}

impl Sums {
    /// Reads the text of such a file.
    ///
    /// # Errors
    /// [`SumsProblem`] for the first thing that is wrong; a name with a folder in it is.
    pub fn parse(bytes: &[u8]) -> Result<Self, SumsProblem> {
        let text = std::str::from_utf8(bytes).map_err(|_| SumsProblem::NoText)?;
        if !text.is_empty() && !text.ends_with('\n') {
            return Err(SumsProblem::CutOff);
        }
        let entry = |(index, line): (usize, &str)| match line.split_once(GAP) {
            Some((digest, name)) if is_plain(name) && is_digest(digest) => {
                Ok((name.to_owned(), digest.to_owned()))
            }
            _ => Err(SumsProblem::BadLine(index + 1)),
        };
        text.lines().enumerate().map(entry).collect::<Result<_, _>>().map(Self)
    }

    /// Adds a file, or replaces its digest.
    pub fn insert(&mut self, name: impl Into<String>, digest: String) {
        self.0.insert(name.into(), digest);
    }

    /// Takes a file off the list, if it is there.
    pub fn remove(&mut self, name: &str) {
        self.0.remove(name);
    }

    /// The digest of a file, if it is listed.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// The files, in the order of their names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// Whether no file is listed.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for Sums {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|(name, digest)| writeln!(f, "{digest}{GAP}{name}"))
    }
}

impl fmt::Display for SumsProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoText => f.write_str("it is no text"),
            Self::CutOff => f.write_str("its last line is cut off"),
            Self::BadLine(number) => write!(f, "line {number} is no digest and file name"),
        }
    }
}

impl std::error::Error for SumsProblem {}

/// SHA-256 in hex.
pub fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// SHA-256 in hex of all that a reader gives.
///
/// # Errors
/// The reader's.
pub fn sha256_of(mut reader: impl Read) -> io::Result<String> {
    let mut digest = Sha256::new();
    let mut chunk = vec![0; CHUNK];
    loop {
        match reader.read(&mut chunk) {
            Ok(0) => return Ok(hex::encode(digest.finalize())),
            Ok(count) => digest.update(&chunk[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// SHA-256 in hex of a whole file, and what `work` gives, which may read the same file meanwhile: on Unix in a thread of its own,
/// elsewhere before.
///
/// # Errors
/// What the file system says about reading the file, beside what `work` gives.
pub fn sha256_while<T>(file: &File, work: impl FnOnce() -> T) -> (io::Result<String>, T) {
    if cfg!(not(unix)) {
        let digest = sha256_of_file(file);
        return (digest, work());
    }
    std::thread::scope(|scope| {
        let digest = scope.spawn(|| sha256_of_file(file));
        let done = work();
        let died = |_| Err(io::Error::other("the thread that computes a digest died"));
        (digest.join().unwrap_or_else(died), done)
    })
}

/// SHA-256 of a file from its first byte on, whatever its position; that stays where it is.
#[cfg(unix)]
fn sha256_of_file(file: &File) -> io::Result<String> {
    struct FromStart<'a>(&'a File, u64);

    impl Read for FromStart<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let count = std::os::unix::fs::FileExt::read_at(self.0, buffer, self.1)?;
            self.1 += count as u64;
            Ok(count)
        }
    }

    sha256_of(FromStart(file, 0))
}

/// SHA-256 of a file from its first byte on; its position is there again afterwards.
#[cfg(not(unix))]
fn sha256_of_file(mut file: &File) -> io::Result<String> {
    use std::io::Seek;
    file.rewind()?;
    let digest = sha256_of(file)?;
    file.rewind()?;
    Ok(digest)
}

/// Whether a name stays in its directory, and is one line of text.
fn is_plain(name: &str) -> bool {
    !matches!(name, "" | "." | "..") && !name.contains(|c: char| c.is_control() || "/\\".contains(c))
}

fn is_digest(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_list_is_named() {
        let digest = sha256(b"");
        let line = format!("{digest}  a\n");
        assert_eq!(Sums::parse(line.as_bytes()).unwrap().names().collect::<Vec<_>>(), ["a"]);
        assert_eq!(Sums::parse(&[0xff]), Err(SumsProblem::NoText));
        assert_eq!(Sums::parse(line.trim_end().as_bytes()), Err(SumsProblem::CutOff));
        for bad in ["", "x  b", &format!("{digest} b"), &format!("{digest}  ../b"), &format!("{digest}  ")] {
            let text = format!("{line}{bad}\n");
            assert_eq!(Sums::parse(text.as_bytes()), Err(SumsProblem::BadLine(2)), "{bad}");
        }
    }

    #[test]
    fn a_reader_has_the_digest_of_its_bytes() -> anyhow::Result<()> {
        let bytes = vec![7; 3 * CHUNK + 1];
        assert_eq!(sha256_of(&bytes[..])?, sha256(&bytes));
        let dir = tempfile::tempdir()?;
        std::fs::write(dir.path().join("a"), &bytes)?;
        let file = File::open(dir.path().join("a"))?;
        let (digest, read) = sha256_while(&file, || {
            let mut read = Vec::new();
            (&file).read_to_end(&mut read).map(|_| read)
        });
        assert!(digest? == sha256(&bytes) && read? == bytes);
        Ok(())
    }
}
