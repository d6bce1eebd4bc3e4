//! The GPUs of a team, which add up among themselves.

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use candle_core::{Device, Tensor};
use cccm_distill::{AllReduce, BoxError, Error, Link};
use cccm_runtime::{GpuGroup, GpuGroupId};

/// The GPUs of all processes.
pub(super) struct Gpus(GpuGroup);

impl Gpus {
    /// Fails where GPUs cannot add up.
    pub(super) fn check() -> Result<()> {
        GpuGroupId::new().map(drop).context("--devices cannot have several GPUs; --device cuda trains on one")
    }

    /// Tells the others by what to find each other, and waits for them.
    /// - `supervise`: from then on this process may wait for a GPU
    pub(super) fn lead(
        device: &Device,
        others: &mut [impl Link],
        supervise: impl FnOnce() -> io::Result<()>,
    ) -> Result<Self> {
        let id = GpuGroupId::new()?;
        let bytes: Vec<f32> = id.as_bytes().iter().map(|byte| f32::from(*byte)).collect();
        for (index, other) in others.iter_mut().enumerate() {
            other.send(&bytes).map_err(|source| Error::WorkerGone { rank: index + 1, source })?;
        }
        supervise().context("cannot start a thread")?;
        Ok(Self(GpuGroup::join(device, 0, others.len() + 1, &id)?))
    }

    /// What number 0 told by [`Self::lead`].
    pub(super) fn receive_id(link: &mut impl Link) -> io::Result<GpuGroupId> {
        let bytes = link.receive(GpuGroupId::LEN)?;
        Ok(GpuGroupId::from_bytes(std::array::from_fn(|index| bytes[index] as u8)))
    }

    /// Waits for all processes.
    pub(super) fn follow(device: &Device, rank: usize, processes: usize, id: GpuGroupId) -> Result<Self> {
        Ok(Self(GpuGroup::join(device, rank, processes, &id)?))
    }
}

impl AllReduce for Gpus {
    fn rank(&self) -> usize {
        self.0.rank()
    }

    fn workers(&self) -> usize {
        self.0.members()
    }

    fn sum(&self, tensors: &[Tensor]) -> Result<Vec<Tensor>, BoxError> {
        Ok(self.0.sum(tensors)?)
    }
}

/// Ends this process with number 0, which it may not notice itself while it waits for a GPU.
pub(super) struct Lifeline {
    is_done: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Lifeline {
    /// Reads standard input to its end from now on.
    pub(super) fn watch() -> io::Result<Self> {
        let is_done = Arc::new(AtomicBool::new(false));
        let done = Arc::clone(&is_done);
        let watch = move || {
            // Nothing comes but the end, as a failure is.
            let _ = io::stdin().read(&mut [0]);
            if !done.load(Ordering::Relaxed) {
                // Not `exit`, which would wait for the GPU too.
                signal_hook::low_level::exit(1);
            }
        };
        let thread = thread::Builder::new().name("cccm-lifeline".to_owned()).spawn(watch)?;
        Ok(Self { is_done, thread })
    }

    /// Waits, not for long, until number 0 has read what this process has summed with it: it may lie in this one's memory.
    pub(super) fn wait(self) {
        const LIMIT: Duration = Duration::from_mins(1);
        const POLL: Duration = Duration::from_millis(20);
        self.is_done.store(true, Ordering::Relaxed);
        let since = Instant::now();
        while !self.thread.is_finished() && since.elapsed() < LIMIT {
            thread::sleep(POLL);
        }
    }
}
