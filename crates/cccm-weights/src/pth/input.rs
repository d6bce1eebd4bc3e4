//! A stretch of a file, read forwards.

use std::io::{ErrorKind, Read, Seek, SeekFrom};

use super::PthProblem;

/// A stretch of a file, read forwards. It never allocates more than it still holds.
pub(super) struct Input<'a, R> {
    /// Should be buffered: most reads are of a byte or two.
    file: &'a mut R,
    at: u64,
    end: u64,
}

impl<'a, R: Read + Seek> Input<'a, R> {
    /// Bytes `start..end` of the file.
    pub(super) fn new(file: &'a mut R, start: u64, end: u64) -> Result<Self, PthProblem> {
        file.seek(SeekFrom::Start(start))?;
        Ok(Self { file, at: start, end })
    }

    /// Where in the file the next byte lies.
    pub(super) fn at(&self) -> u64 {
        self.at
    }

    pub(super) fn left(&self) -> u64 {
        self.end.saturating_sub(self.at)
    }

    pub(super) fn byte(&mut self) -> Result<u8, PthProblem> {
        Ok(self.array::<1>()?[0])
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], PthProblem> {
        let mut bytes = [0; N];
        self.claim(N as u64)?;
        self.file.read_exact(&mut bytes).map_err(cut_off)?;
        Ok(bytes)
    }

    pub(super) fn u16(&mut self) -> Result<u16, PthProblem> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    pub(super) fn u32(&mut self) -> Result<u32, PthProblem> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    pub(super) fn u64(&mut self) -> Result<u64, PthProblem> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    pub(super) fn bytes(&mut self, len: u64) -> Result<Vec<u8>, PthProblem> {
        self.claim(len)?;
        let mut bytes = vec![0; len as usize];
        self.file.read_exact(&mut bytes).map_err(cut_off)?;
        Ok(bytes)
    }

    pub(super) fn text(&mut self, len: u64) -> Result<String, PthProblem> {
        let at = self.at;
        let not_utf8 = |_| PthProblem::Pickle { at, problem: "a text is not UTF-8".to_owned() };
        String::from_utf8(self.bytes(len)?).map_err(not_utf8)
    }

    /// Up to a line break, which is dropped.
    pub(super) fn line(&mut self) -> Result<String, PthProblem> {
        const LONGEST: usize = 256;
        let at = self.at;
        let mut line = Vec::new();
        loop {
            match self.byte()? {
                b'\n' => break,
                _ if line.len() == LONGEST => {
                    let problem = format!("a name is longer than {LONGEST} bytes");
                    return Err(PthProblem::Pickle { at, problem });
                }
                byte => line.push(byte),
            }
        }
        Ok(String::from_utf8_lossy(&line).into_owned())
    }

    pub(super) fn skip(&mut self, len: u64) -> Result<(), PthProblem> {
        self.claim(len)?;
        self.file.seek(SeekFrom::Start(self.at))?;
        Ok(())
    }

    /// Takes so many bytes off what is left, if they are there.
    fn claim(&mut self, len: u64) -> Result<(), PthProblem> {
        if len > self.left() {
            let (at, left) = (self.at, self.left());
            return Err(PthProblem::cut_off(format!("at byte {at} it claims {len} bytes of {left}")));
        }
        self.at += len;
        Ok(())
    }
}

fn cut_off(error: std::io::Error) -> PthProblem {
    match error.kind() {
        ErrorKind::UnexpectedEof => PthProblem::cut_off("it became shorter while it was read"),
        _ => error.into(),
    }
}
