//! Dropout whose mask is a function of keys, and is never kept.

#[cfg(feature = "cuda")]
mod cuda;
#[cfg(any(feature = "cuda", test))]
mod gpu;
#[cfg(test)]
mod gpu_tests;
#[cfg(test)]
mod tests;

use std::sync::Arc;

#[cfg(feature = "cuda")]
use candle_core::CudaStorage;
use candle_core::{CpuStorage, CustomOp1, DType, Layout, Result, Shape, Tensor, bail};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

use crate::ImageLayout;
use crate::buffer::{Chunk, par_chunks};
use crate::dtype::is_half;
use crate::storage::as_f32;

/// Zeroes values with probability `p` and multiplies the others by `1 / (1 - p)` (Srivastava et al. 2014, scaled while training).
///
/// Which ones is a function of the keys alone, so that the backward pass finds out anew and no mask is kept: the stream of
/// the generator `ChaCha8` under a sample's key, two values from each word of 32 bits, lower half first, over the channels of
/// the first pixel row by row, then the next channel. A value stays if its 16 bits are at least `p * 2^16`.
/// - `x`, result: `(batch, channels, h, w)`, or in the order of `layout`
/// - `keys`: one per sample, 256 bits as four words, the first bytes first
/// - `p`: at least 0 and below 1
///
/// `f32` on the CPU, and `f32` and `bf16` on an NVIDIA GPU (feature `cuda`), run on this crate's kernels. Other half precision
/// goes through `f32`; anything else is multiplied by a mask.
///
/// # Errors
/// When there is not a key per sample, `x` has not four dimensions, or `p` is out of range.
pub fn dropout(x: &Tensor, keys: &[[u64; 4]], p: f64, layout: ImageLayout) -> Result<Tensor> {
    let sizes = layout.sizes("dropout", x)?;
    if keys.len() != sizes.batch {
        bail!("dropout: {} keys for {} samples", keys.len(), sizes.batch);
    }
    if !(0.0..1.0).contains(&p) {
        bail!("dropout: `p` is {p}, but must be at least 0 and below 1");
    }
    let op = Dropout::new(keys, p);
    let through = |inner: ImageLayout, x: &Tensor| -> Result<Tensor> {
        inner.convert(&layout.convert(x, inner)?.contiguous()?.apply_op1(op.clone())?, layout)
    };
    let (dtype, device) = (x.dtype(), x.device());
    if x.elem_count() == 0 {
        Ok(x.clone())
    } else if device.is_cuda() && cfg!(feature = "cuda") && matches!(dtype, DType::F32 | DType::BF16) {
        through(ImageLayout::ChannelsLast, x)
    } else if device.is_cpu() && dtype == DType::F32 {
        through(ImageLayout::ChannelsFirst, x)
    } else if device.is_cpu() && is_half(dtype) {
        through(ImageLayout::ChannelsFirst, &x.to_dtype(DType::F32)?)?.to_dtype(dtype)
    } else {
        let ones = Tensor::ones(x.shape(), DType::F32, &candle_core::Device::Cpu)?;
        x * through(ImageLayout::ChannelsFirst, &ones)?.to_dtype(dtype)?.to_device(device)?
    }
}

/// The operation in candle's graph: channels first on the CPU, channels last on a GPU.
#[derive(Clone, Debug)]
struct Dropout {
    keys: Arc<[[u64; 4]]>,
    /// Values whose 16 bits lie below are dropped.
    threshold: u32,
    /// Factor on the others.
    keep: f32,
}

impl Dropout {
    fn new(keys: &[[u64; 4]], p: f64) -> Self {
        let threshold = (p * f64::from(1 << 16)).round() as u32;
        Self { keys: keys.into(), threshold, keep: (1.0 / (1.0 - p)) as f32 }
    }

    /// One sample, channels first.
    fn sample(&self, key: [u64; 4], x: &[f32], y: &mut Chunk<'_, f32>) {
        let mut seed = [0; 32];
        for (bytes, word) in seed.chunks_exact_mut(8).zip(key) {
            bytes.copy_from_slice(&word.to_le_bytes());
        }
        let mut rng = ChaCha8Rng::from_seed(seed);
        let mut word = 0;
        y.extend(x.iter().enumerate().map(|(i, value)| {
            let bits = if i % 2 == 0 {
                word = rng.next_u32();
                word & 0xffff
            } else {
                word >> 16
            };
            if bits < self.threshold { 0.0 } else { value * self.keep }
        }));
    }
}

impl CustomOp1 for Dropout {
    fn name(&self) -> &'static str {
        "cccm_dropout"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let x = as_f32(x, layout)?;
        let len = x.len() / self.keys.len();
        let (y, _) = par_chunks(x.len(), len, |sample, y| {
            self.sample(self.keys[sample], &x[sample * len..][..len], y);
        });
        Ok((CpuStorage::F32(y), layout.shape().clone()))
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(&self, x: &CudaStorage, layout: &Layout) -> Result<(CudaStorage, Shape)> {
        Ok((cuda::forward(self, (x, layout))?, layout.shape().clone()))
    }

    /// The same, of the gradient.
    fn bwd(&self, _x: &Tensor, _y: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        dy.contiguous()?.apply_op1_no_bwd(self).map(Some)
    }
}
