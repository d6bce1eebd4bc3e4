//! Pooling over 3×3 pixels.

use candle_core::{Result, Tensor};

const SIZE: usize = 3;

/// What happens to 3×3 pixels.
#[derive(Clone, Copy, Debug)]
pub(super) enum Pool {
    /// The largest, and every other pixel of the result; nothing around the image.
    MaxHalved,
    /// The largest; the size stays. For values of at least 0, as ReLU gives them.
    Max,
    /// The average of those that lie within the image; the size stays.
    Average,
}

impl Pool {
    /// Of `(batch, channels, h, w)`.
    pub(super) fn forward(self, x: &Tensor) -> Result<Tensor> {
        match self {
            Self::MaxHalved => x.max_pool2d_with_stride(SIZE, 2),
            // Zeros around are never larger than what is there.
            Self::Max => around(x)?.max_pool2d_with_stride(SIZE, 1),
            Self::Average => {
                let (_, _, height, width) = x.dims4()?;
                let ones = Tensor::ones((1, 1, height, width), x.dtype(), x.device())?;
                let share_within = around(&ones)?.avg_pool2d_with_stride(SIZE, 1)?;
                around(x)?.avg_pool2d_with_stride(SIZE, 1)?.broadcast_div(&share_within)
            }
        }
    }
}

/// With a border of zeros.
fn around(x: &Tensor) -> Result<Tensor> {
    x.pad_with_zeros(2, 1, 1)?.pad_with_zeros(3, 1, 1)
}
