//! The same in candle's own operations: for other dtypes and devices, and to test against.

use candle_core::{Result, Tensor};

// Differs: not `Tensor::upsample_nearest2d`, whose backward (candle 0.11.1) overwrites what other users of `x` have
// added to its gradient.
pub(super) fn upsample_nearest_2x(x: &Tensor) -> Result<Tensor> {
    let (batch, channels, h, w) = x.dims4()?;
    x.reshape((batch, channels, h, 1, w, 1))?.broadcast_as((batch, channels, h, 2, w, 2))?.reshape((
        batch,
        channels,
        2 * h,
        2 * w,
    ))
}
