//! The GPUs of a team, which compute sums among themselves.

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
    /// Fails if GPUs cannot compute sums together.
    pub(super) fn check() -> Result<()> {
        GpuGroupId::new().map(drop).context("--devices cannot have several GPUs; --device cuda trains on one")
    }

    /// Sends the id of the group to the other processes, and waits until all have joined.
    /// - `supervise`: called before this process may have to wait for a GPU
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

    /// The id that process 0 sends in [`Self::lead`].
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

/// Ends this process when process 0 ends. While it waits for a GPU, it would not notice that itself.
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
            // Nothing is sent: this returns at the end of the input, or fails, which means the same.
            let _ = io::stdin().read(&mut [0]);
            if !done.load(Ordering::Relaxed) {
                // Not `exit`, which would wait for the GPU too.
                signal_hook::low_level::exit(1);
            }
        };
        let thread = thread::Builder::new().name("cccm-lifeline".to_owned()).spawn(watch)?;
        Ok(Self { is_done, thread })
    }

    /// Waits for a limited time until process 0 has ended: it may still read the last sums from this
    /// process's memory.
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
