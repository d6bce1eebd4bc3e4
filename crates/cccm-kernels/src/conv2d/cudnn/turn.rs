//! Images from one order to the other.

use candle_core::{CudaDevice, Result};

use crate::conv2d::gpu::Transposition;
use crate::cuda::Stream;
use crate::gpu::{Arg, Elements};

/// Images `(batch, pixels, channels)` as `(batch, channels, pixels)`, or back.
pub(super) fn turn_images(
    device: &CudaDevice,
    elements: Elements,
    turn: Transposition,
    from: Arg,
    to: Arg,
) -> Result<()> {
    // SAFETY: the caller's addresses are of so many numbers.
    unsafe { turn.launch(&Stream(device), (from, elements), (to, elements)) }
}
