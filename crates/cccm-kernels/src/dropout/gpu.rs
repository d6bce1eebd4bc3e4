//! Launches of the kernel, for images whose channels come last.
#![expect(unsafe_code, reason = "kernels are launched by address")]

use candle_core::Result;

use super::Dropout;
use crate::gpu::{Arg, Elements, Grid, Queue, Source, source};
use crate::layout::ImageSizes;

static KERNELS: Source = source!("dropout");

/// Values that a block of the generator's stream is for.
const VALUES: usize = 32;

/// Writes `y`.
///
/// # Safety
/// Both must be addresses of images of `elements`, of these sizes.
pub(super) unsafe fn launch<Q: Queue>(
    queue: &Q,
    op: &Dropout,
    sizes: ImageSizes,
    elements: Elements,
    x: Arg,
    y: Arg,
) -> Result<()> {
    let (pixels, channels) = (sizes.height * sizes.width, sizes.channels);
    let blocks = (pixels * channels).div_ceil(VALUES);
    let keys = queue.upload(op.keys.as_flattened())?;
    let args = [
        x,
        y,
        queue.pointer(&keys),
        Arg::Size(pixels),
        Arg::Int(channels as i32),
        Arg::Size(blocks),
        Arg::Int(op.threshold as i32),
        Arg::Float(op.keep),
    ];
    let grid = Grid::of_items(blocks, op.keys.len())?;
    // SAFETY: arguments in the kernel's order, a thread per block of the stream and a key per sample.
    unsafe { queue.launch(&KERNELS, &format!("dropout_{}", elements.name()), grid, &args) }
}
