//! Zip archives as `torch.save` writes them: entries stored as they are, sizes perhaps in the 64-bit form.
//!
//! Checksums are not compared: PyTorch itself ignores them, and can be told to write none
//! (`torch.serialization.set_crc32_options`).

use std::collections::BTreeMap;
use std::io::{Read, Seek};

use super::PthProblem;
use super::input::Input;
use super::problem::shown;

pub(super) const LOCAL_MAGIC: [u8; 4] = *b"PK\x03\x04";
pub(super) const ENTRY_MAGIC: [u8; 4] = *b"PK\x01\x02";
pub(super) const END_MAGIC: [u8; 4] = *b"PK\x05\x06";
const END64_MAGIC: [u8; 4] = *b"PK\x06\x06";
const LOCATOR64_MAGIC: [u8; 4] = *b"PK\x06\x07";

const END_LEN: u64 = 22;
const LOCATOR64_LEN: u64 = 20;
/// This value means that a size does not fit into 32 bits and is stored in an extra field.
const IN_EXTRA: u64 = u32::MAX as u64;
const EXTRA_64: u16 = 1;
const ENCRYPTED: u16 = 1;

/// The entries of an archive, by name.
#[derive(Debug)]
pub(super) struct Archive {
    entries: BTreeMap<String, Entry>,
    file_len: u64,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    header: u64,
    len: u64,
}

/// Where the list of entries lies.
#[derive(Clone, Copy)]
struct Directory {
    start: u64,
    len: u64,
    entries: u64,
}

impl Archive {
    /// Reads the list of entries, and none of them.
    pub(super) fn open<R: Read + Seek>(file: &mut R, file_len: u64) -> Result<Self, PthProblem> {
        let directory = find_directory(file, file_len)?;
        let outside = directory.start.checked_add(directory.len).is_none_or(|end| end > file_len);
        if outside {
            return Err(PthProblem::zip("its directory lies outside the file"));
        }
        let mut input = Input::new(file, directory.start, directory.start + directory.len)?;
        let (mut entries, mut total) = (BTreeMap::new(), 0_u64);
        for _ in 0..directory.entries {
            let (name, entry) = read_entry(&mut input)?;
            total = total.saturating_add(entry.len);
            if let Some(name) = insert(&mut entries, name, entry) {
                return Err(PthProblem::zip(format!("two entries are named `{}`", shown(&name))));
            }
        }
        // Stored entries cannot overlap, so that more than the file holds is a lie.
        if total > file_len {
            return Err(PthProblem::zip(format!("its entries claim {total} bytes of a file of {file_len}")));
        }
        Ok(Self { entries, file_len })
    }

    /// Names of all entries, sorted.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(String::as_str)
    }

    /// First byte and length of an entry's content, if there is such an entry.
    pub(super) fn find<R: Read + Seek>(
        &self,
        file: &mut R,
        name: &str,
    ) -> Result<Option<(u64, u64)>, PthProblem> {
        const NAME_LENGTHS_AT: u64 = 26;
        let Some(entry) = self.entries.get(name) else { return Ok(None) };
        let mut input = Input::new(file, entry.header, self.file_len)?;
        if input.array()? != LOCAL_MAGIC {
            return Err(PthProblem::zip(format!("no entry starts where `{}` should", shown(name))));
        }
        input.skip(NAME_LENGTHS_AT - LOCAL_MAGIC.len() as u64)?;
        let names = u64::from(input.u16()?) + u64::from(input.u16()?);
        input.skip(names)?;
        let start = input.at();
        input.skip(entry.len)?;
        Ok(Some((start, entry.len)))
    }
}

/// Gives the name back if it is taken.
fn insert(entries: &mut BTreeMap<String, Entry>, name: String, entry: Entry) -> Option<String> {
    if entries.contains_key(&name) {
        return Some(name);
    }
    entries.insert(name, entry);
    None
}

fn find_directory<R: Read + Seek>(file: &mut R, file_len: u64) -> Result<Directory, PthProblem> {
    const LONGEST_COMMENT: u64 = u16::MAX as u64;
    let start = file_len.saturating_sub(END_LEN + LONGEST_COMMENT);
    let tail = Input::new(file, start, file_len)?.bytes(file_len - start)?;
    let comment_fits = |at: &usize| {
        let rest = &tail[*at..];
        let comment = rest.get(20..22).map(|len| usize::from(u16::from_le_bytes([len[0], len[1]])));
        rest.starts_with(&END_MAGIC) && comment.is_some_and(|len| rest.len() == END_LEN as usize + len)
    };
    let end = (0..tail.len()).rev().find(comment_fits);
    let end = start + end.ok_or_else(|| PthProblem::cut_off("the end of its zip archive is missing"))? as u64;
    match end.checked_sub(LOCATOR64_LEN) {
        Some(at) => match read_locator(file, at, file_len)? {
            Some(end64) => read_end64(file, end64, file_len),
            None => read_end(file, end, file_len),
        },
        None => read_end(file, end, file_len),
    }
}

fn read_end<R: Read + Seek>(file: &mut R, at: u64, file_len: u64) -> Result<Directory, PthProblem> {
    const COUNT_AT: u64 = 10;
    let mut input = Input::new(file, at, file_len)?;
    input.skip(COUNT_AT)?;
    let (entries, len, start) = (input.u16()?, input.u32()?, input.u32()?);
    Ok(Directory { start: start.into(), len: len.into(), entries: entries.into() })
}

/// Where the 64-bit end record lies, if a locator of one lies here.
fn read_locator<R: Read + Seek>(file: &mut R, at: u64, file_len: u64) -> Result<Option<u64>, PthProblem> {
    let mut input = Input::new(file, at, file_len)?;
    if input.array()? != LOCATOR64_MAGIC {
        return Ok(None);
    }
    input.u32()?;
    input.u64().map(Some)
}

fn read_end64<R: Read + Seek>(file: &mut R, at: u64, file_len: u64) -> Result<Directory, PthProblem> {
    const COUNT_AT: u64 = 32;
    let mut input = Input::new(file, at.min(file_len), file_len)?;
    if input.array()? != END64_MAGIC {
        return Err(PthProblem::zip("its 64-bit end record is not where it should be"));
    }
    input.skip(COUNT_AT - END64_MAGIC.len() as u64)?;
    let (entries, len, start) = (input.u64()?, input.u64()?, input.u64()?);
    Ok(Directory { start, len, entries })
}

fn read_entry<R: Read + Seek>(input: &mut Input<'_, R>) -> Result<(String, Entry), PthProblem> {
    if input.array()? != ENTRY_MAGIC {
        return Err(PthProblem::zip("its directory holds something that is no entry"));
    }
    // Versions.
    input.skip(4)?;
    let (flags, method) = (input.u16()?, input.u16()?);
    // Time, date, checksum.
    input.skip(8)?;
    let (packed, len) = (u64::from(input.u32()?), u64::from(input.u32()?));
    let (name_len, extra_len, comment_len) = (input.u16()?, input.u16()?, input.u16()?);
    // Disk and attributes.
    input.skip(8)?;
    let header = u64::from(input.u32()?);
    let name = input.bytes(name_len.into())?;
    let name = String::from_utf8(name).map_err(|_| PthProblem::zip("the name of an entry is not UTF-8"))?;
    // In this order, each only if its place in the header says so.
    let [len, packed, header] = with_extra(input, extra_len.into(), [len, packed, header])?;
    input.skip(comment_len.into())?;
    if is_unsafe(&name) {
        return Err(PthProblem::UnsafeName { entry: shown(&name) });
    }
    if method != 0 || flags & ENCRYPTED != 0 || packed != len {
        return Err(PthProblem::Compressed { entry: shown(&name) });
    }
    Ok((name, Entry { header, len }))
}

/// Replaces the numbers that stand in the extra field.
fn with_extra<R: Read + Seek>(
    input: &mut Input<'_, R>,
    extra_len: u64,
    mut numbers: [u64; 3],
) -> Result<[u64; 3], PthProblem> {
    let mut left = extra_len;
    while left >= 4 {
        let (id, mut len) = (input.u16()?, u64::from(input.u16()?));
        left = left.checked_sub(4 + len).ok_or_else(|| PthProblem::zip("an extra field is too long"))?;
        if id == EXTRA_64 {
            for number in numbers.iter_mut().filter(|number| **number == IN_EXTRA) {
                len = len.checked_sub(8).ok_or_else(|| PthProblem::zip("a 64-bit size is missing"))?;
                *number = input.u64()?;
            }
        }
        input.skip(len)?;
    }
    input.skip(left)?;
    Ok(numbers)
}

/// Whether a name could lead out of a folder. Nothing is ever written under these names, but an archive with
/// such a name is an attack.
fn is_unsafe(name: &str) -> bool {
    name.starts_with('/') || name.contains(['\\', '\0', ':']) || name.split('/').any(|part| part == "..")
}
