//! Bilinear interpolation to the size of the network's images.

use candle_core::{Device, Result, Tensor};

/// Height and width that the network was trained for.
const SIZE: usize = 299;

/// Resizes images of one size to 299×299 as PyTorch's `interpolate(mode="bilinear", align_corners=False)`: without
/// antialiasing. Linear in rows and in columns, hence two products of matrices.
#[derive(Debug)]
pub(super) struct Resize {
    /// `(299, h)`
    rows: Tensor,
    /// `(w, 299)`
    columns: Tensor,
}

impl Resize {
    /// For images of this height and width, at least 1 each.
    pub(super) fn new((height, width): (usize, usize), device: &Device) -> Result<Self> {
        Ok(Self { rows: weights(height, device)?, columns: weights(width, device)?.t()?.contiguous()? })
    }

    /// `(n, channels, 299, 299)` of `(n, channels, h, w)`, `f32`.
    pub(super) fn forward(&self, images: &Tensor) -> Result<Tensor> {
        self.rows.broadcast_matmul(&images.broadcast_matmul(&self.columns)?)
    }
}

/// How much of each of `len` pixels is in each of 299, `(299, len)`.
fn weights(len: usize, device: &Device) -> Result<Tensor> {
    // In `f32`, as PyTorch finds the places of pixels.
    let scale = len as f32 / SIZE as f32;
    let mut weights = vec![0f32; SIZE * len];
    for (i, row) in weights.chunks_exact_mut(len).enumerate() {
        let place = (scale * (i as f32 + 0.5) - 0.5).max(0.0);
        let below = (place as usize).min(len - 1);
        let share = place - below as f32;
        row[below] += 1.0 - share;
        row[(below + 1).min(len - 1)] += share;
    }
    Tensor::from_vec(weights, (SIZE, len), device)
}
