//! Launches of the kernel, for images whose channels come last.
#![expect(unsafe_code, reason = "kernels are launched by address")]

use candle_core::Result;

use crate::gpu::{Arg, Elements, Grid, Queue, Source, source};

static KERNELS: Source = source!("cat_channels");

/// Some neighbouring channels of images `(pixels, channels)`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Channels {
    /// Where the images begin.
    pub(super) images: Arg,
    /// How many channels they have.
    pub(super) of: usize,
    /// The first of those that are meant.
    pub(super) first: usize,
}

impl Channels {
    fn address(self, elements: Elements) -> Arg {
        match self.images {
            Arg::Pointer(at) => Arg::Pointer(at + (self.first * elements.bytes()) as u64),
            other => other,
        }
    }
}

/// Copies `len` channels of so many pixels.
///
/// # Safety
/// Both must be addresses of so many pixels of `elements`, with so many channels from the first on.
pub(super) unsafe fn copy<Q: Queue>(
    queue: &Q,
    elements: Elements,
    pixels: usize,
    len: usize,
    from: Channels,
    to: Channels,
) -> Result<()> {
    let (source, target) = (from.address(elements), to.address(elements));
    // All three must be whole vectors.
    let together =
        [len, from.of, to.of].into_iter().find(|n| elements.vector(*n, &[source, target]).len == 1);
    let vector = elements.vector(together.unwrap_or(len), &[source, target]);
    let in_vectors = |channels: usize| Arg::Int((channels / vector.len) as i32);
    let count = pixels * len / vector.len;
    let args = [source, target, Arg::Size(count), in_vectors(len), in_vectors(from.of), in_vectors(to.of)];
    let kernel = format!("copy_channels_{}", vector.suffix);
    // SAFETY: arguments in the kernel's order, a thread per vector.
    unsafe { queue.launch(&KERNELS, &kernel, Grid::of_items(count, 1)?, &args) }
}
