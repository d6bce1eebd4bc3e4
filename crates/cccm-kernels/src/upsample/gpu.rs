//! Launches of the kernels, for images whose channels come last.
#![expect(unsafe_code, reason = "kernels are launched by address")]

use candle_core::Result;

use crate::gpu::{Arg, Elements, Grid, Queue, Source, source};
use crate::layout::ImageSizes;

static KERNELS: Source = source!("upsample");

/// Writes the larger image of `from`, or with `kernel` `up_grad` the gradient of the smaller one.
///
/// # Safety
/// `small` and `large` must be addresses of images of `elements`, the smaller of the given sizes.
pub(super) unsafe fn launch<Q: Queue>(
    queue: &Q,
    direction: Direction,
    sizes: ImageSizes,
    elements: Elements,
    small: Arg,
    large: Arg,
) -> Result<()> {
    let vector = elements.vector(sizes.channels, &[small, large]);
    let vectors = sizes.channels / vector.len;
    let count = sizes.batch * sizes.height * sizes.width * vectors;
    let (kernel, from, to) = match direction {
        Direction::Up => ("up", small, large),
        Direction::Gradient => ("up_grad", large, small),
    };
    let args = [from, to, Arg::Size(count), Arg::Int(sizes.width as i32), Arg::Int(vectors as i32)];
    // SAFETY: arguments in the kernels' order, a thread per vector of the smaller image.
    unsafe {
        queue.launch(&KERNELS, &format!("{kernel}_{}", vector.suffix), Grid::of_items(count, 1)?, &args)
    }
}

/// Which way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    /// From the smaller image to the larger.
    Up,
    /// From the larger image's gradient to the smaller's.
    Gradient,
}
