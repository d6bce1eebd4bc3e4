//! Launches of the kernels.
#![expect(unsafe_code, reason = "kernels are launched by address")]

use candle_core::Result;

use super::UpdateRule;
use crate::gpu::{Arg, Grid, Queue, Source, THREADS, blocks, source};

static KERNELS: Source = source!("update");

/// Values of a block; `CHUNK` of the kernels.
const CHUNK: usize = 16_384;

/// Addresses of a variable, and how many values it has.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    /// Value, both moments, average (or 0), gradient.
    pub(super) addresses: [u64; 5],
    pub(super) len: usize,
}

/// Variables as the kernels have them, with a block for every chunk.
struct Table<M> {
    memory: M,
    count: i32,
    blocks: usize,
}

impl<M> Table<M> {
    fn new<Q: Queue<Memory = M>>(queue: &Q, entries: &[Entry]) -> Result<Self> {
        let mut words = Vec::with_capacity(7 * entries.len());
        let mut blocks = 0;
        for entry in entries {
            words.extend(entry.addresses);
            words.extend([entry.len as u64, blocks as u64]);
            blocks += entry.len.div_ceil(CHUNK);
        }
        Ok(Self { memory: queue.upload(&words)?, count: entries.len() as i32, blocks })
    }

    fn grid(&self) -> Result<Grid> {
        Ok(Grid { blocks: [blocks(self.blocks)?, 1, 1], threads: [THREADS as u32, 1, 1] })
    }
}

/// Whether no two of the tensors share memory: what one launch reads and writes of all of them must lie apart.
pub(super) fn are_apart(entries: &[Entry]) -> bool {
    let mut spans = Vec::with_capacity(5 * entries.len());
    for Entry { addresses, len } in entries {
        let bytes = 4 * *len as u64;
        // There is no average at 0.
        let starts = addresses.iter().filter(|start| **start != 0 && bytes > 0);
        spans.extend(starts.map(|start| (*start, start.saturating_add(bytes))));
    }
    spans.sort_unstable();
    spans.windows(2).all(|pair| pair[0].1 <= pair[1].0)
}

/// Updates all variables.
///
/// # Safety
/// Addresses must be of so many `f32`, of which no two overlap.
pub(super) unsafe fn update<Q: Queue>(queue: &Q, entries: &[Entry], rule: &UpdateRule) -> Result<()> {
    let table = Table::new(queue, entries)?;
    let UpdateRule { grad_scale, beta1, rest1, beta2, rest2, eps, keep, step_size, .. } = *rule;
    let UpdateRule { root_correction, decay, rest, .. } = *rule;
    let numbers =
        [grad_scale, beta1, rest1, beta2, rest2, eps, keep, step_size, root_correction, decay, rest];
    let args: Vec<_> = [queue.pointer(&table.memory), Arg::Int(table.count)]
        .into_iter()
        .chain(numbers.map(Arg::Float))
        .collect();
    // SAFETY: arguments in the kernel's order, addresses by this function's contract.
    unsafe { queue.launch(&KERNELS, "adamw", table.grid()?, &args) }
}

/// Writes the sum of the squares of all gradients, an `f64`, to `sum`. Of entries without a value too.
///
/// # Safety
/// Gradients' addresses must be of so many `f32`, `sum` one of an `f64`.
pub(super) unsafe fn squares<Q: Queue>(queue: &Q, entries: &[Entry], sum: Arg) -> Result<()> {
    let table = Table::new(queue, entries)?;
    let partial = queue.allocate(2 * table.blocks)?;
    let partial = queue.pointer(&partial);
    let one = Grid { blocks: [1, 1, 1], threads: [THREADS as u32, 1, 1] };
    // SAFETY: arguments in the kernels' order, the allocation has an f64 for every block.
    unsafe {
        let args = [queue.pointer(&table.memory), Arg::Int(table.count), partial];
        queue.launch(&KERNELS, "squares", table.grid()?, &args)?;
        queue.launch(&KERNELS, "sum", one, &[partial, sum, Arg::Size(table.blocks)])
    }
}
