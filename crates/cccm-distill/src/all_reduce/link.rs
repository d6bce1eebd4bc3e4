//! Ways for two workers to send each other numbers.

use std::io::{Error, ErrorKind, Read, Result, Write};
use std::sync::mpsc::{Receiver, Sender, channel};

/// Numbers to and from one other worker, in order. A worker that is gone is an error at the other end.
pub trait Link {
    /// Sends numbers.
    ///
    /// # Errors
    /// When the other end is gone.
    fn send(&mut self, values: &[f32]) -> Result<()>;

    /// Waits for `len` numbers.
    ///
    /// # Errors
    /// When the other end is gone, or sent more or fewer numbers.
    fn receive(&mut self, len: usize) -> Result<Vec<f32>>;
}

/// A link between two threads.
#[derive(Debug)]
pub struct Channel {
    to: Sender<Vec<f32>>,
    from: Receiver<Vec<f32>>,
}

impl Channel {
    /// Both ends of a link.
    pub fn pair() -> [Self; 2] {
        let ((to_a, from_b), (to_b, from_a)) = (channel(), channel());
        [Self { to: to_a, from: from_a }, Self { to: to_b, from: from_b }]
    }
}

impl Link for Channel {
    fn send(&mut self, values: &[f32]) -> Result<()> {
        self.to.send(values.to_vec()).map_err(|_| ErrorKind::BrokenPipe.into())
    }

    fn receive(&mut self, len: usize) -> Result<Vec<f32>> {
        let values = self.from.recv().map_err(|_| Error::from(ErrorKind::UnexpectedEof))?;
        check_len(values.len() as u64, len)?;
        Ok(values)
    }
}

/// A link between two processes, over a stream of bytes each way: before the numbers, little-endian, goes their count.
#[derive(Debug)]
pub struct Pipe<R, W> {
    from: R,
    to: W,
}

impl<R: Read, W: Write> Pipe<R, W> {
    /// A link that reads what the other end writes, and the other way round.
    pub fn new(from: R, to: W) -> Self {
        Self { from, to }
    }
}

impl<R: Read, W: Write> Link for Pipe<R, W> {
    fn send(&mut self, values: &[f32]) -> Result<()> {
        self.to.write_all(&(values.len() as u64).to_le_bytes())?;
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.to.write_all(&bytes)?;
        self.to.flush()
    }

    fn receive(&mut self, len: usize) -> Result<Vec<f32>> {
        let mut count = [0; 8];
        self.from.read_exact(&mut count)?;
        check_len(u64::from_le_bytes(count), len)?;
        let mut bytes = vec![0; len * size_of::<f32>()];
        self.from.read_exact(&mut bytes)?;
        let (values, _) = bytes.as_chunks();
        Ok(values.iter().map(|value| f32::from_le_bytes(*value)).collect())
    }
}

fn check_len(got: u64, want: usize) -> Result<()> {
    if got == want as u64 {
        return Ok(());
    }
    Err(Error::new(ErrorKind::InvalidData, format!("it sent {got} numbers instead of {want}")))
}
