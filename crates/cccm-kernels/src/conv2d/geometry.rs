//! The sizes of one convolution, checked.

use candle_core::{Result, Tensor, bail};

use super::config::Conv2dConfig;
use crate::layout::ImageSizes;

/// Larger than any image, and far from where sizes overflow.
const MAX_PADDING: usize = 1 << 20;
/// Largest number of values in a buffer of a convolution. With four bytes each and some for alignment, its
/// size still fits Rust's limit, and no sum or product of sizes on the way overflows.
const MAX_VALUES: usize = isize::MAX as usize / 16;

/// Sizes of `x (batch, c_in, h, w)` convolved with `weight (c_out, c_in, k, k)`; all but `batch` are at least 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Geometry {
    pub(super) batch: usize,
    pub(super) c_in: usize,
    pub(super) h: usize,
    pub(super) w: usize,
    pub(super) c_out: usize,
    pub(super) k: usize,
    pub(super) stride: usize,
    pub(super) padding: usize,
}

impl Geometry {
    /// Checks the shapes of a call against each other.
    pub(super) fn new(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>, cfg: Conv2dConfig) -> Result<Self> {
        let Conv2dConfig { stride, padding, layout } = cfg;
        let ImageSizes { batch, channels: c_in, height: h, width: w } = layout.sizes("conv2d", x)?;
        let &[c_out, _, k, _] = weight.dims() else {
            bail!("conv2d: `weight` must be (c_out, c_in, k, k), got {:?}", weight.shape());
        };
        if weight.dims() != [c_out, c_in, k, k] {
            bail!(
                "conv2d: `weight` must be (c_out, {c_in}, k, k) for `x` {:?}, got {:?}",
                x.shape(),
                weight.shape()
            );
        }
        if c_in == 0 || h == 0 || w == 0 || c_out == 0 || k == 0 {
            bail!(
                "conv2d: no dimension but the batch may be 0, got `x` {:?}, `weight` {:?}",
                x.shape(),
                weight.shape()
            );
        }
        if let Some(bias) = bias
            && bias.dims() != [c_out]
            && bias.dims() != [batch, c_out]
        {
            bail!("conv2d: `bias` must be ({c_out},) or ({batch}, {c_out}), got {:?}", bias.shape());
        }
        if stride == 0 {
            bail!("conv2d: `stride` is 0, but must be at least 1");
        }
        if padding > MAX_PADDING {
            bail!("conv2d: `padding` is {padding}, but must be at most {MAX_PADDING}");
        }
        if h.min(w).saturating_add(2 * padding) < k {
            bail!("conv2d: a {k}x{k} kernel does not fit into {h}x{w} pixels with padding {padding}");
        }
        let g = Self { batch, c_in, h, w, c_out, k, stride, padding };
        if !g.fits() {
            bail!("conv2d: `x` {:?} with `weight` {:?} is larger than memory", x.shape(), weight.shape());
        }
        Ok(g)
    }

    /// Whether the padded images, their columns, the weights and the outputs are of sizes that can be computed with. A tensor
    /// that repeats one value may claim any shape.
    fn fits(&self) -> bool {
        // A vector of sixteen may start at the last pixel.
        let side = |n: usize| n.checked_add(2 * self.padding.max(1)).and_then(|n| n.checked_add(16));
        let product = |sizes: &[Option<usize>]| {
            let product = sizes.iter().try_fold(1_usize, |product, size| product.checked_mul((*size)?));
            product.is_some_and(|values| values <= MAX_VALUES)
        };
        let (h, w) = (side(self.h), side(self.w));
        let taps = self.k.checked_mul(self.k);
        let channels = Some(self.c_in.max(self.c_out));
        product(&[Some(self.batch.max(1)), channels, h, w])
            && product(&[channels, taps, h, w])
            && product(&[Some(self.c_in), Some(self.c_out.saturating_add(16)), taps])
    }

    pub(super) fn out_h(&self) -> usize {
        (self.h + 2 * self.padding - self.k) / self.stride + 1
    }

    pub(super) fn out_w(&self) -> usize {
        (self.w + 2 * self.padding - self.k) / self.stride + 1
    }

    pub(super) fn in_pixels(&self) -> usize {
        self.h * self.w
    }

    pub(super) fn out_pixels(&self) -> usize {
        self.out_h() * self.out_w()
    }

    /// Weights between an input and an output channel: `k * k`.
    pub(super) fn taps(&self) -> usize {
        self.k * self.k
    }

    /// 3x3, and the output as large as the input.
    pub(super) fn is_same_3x3(&self) -> bool {
        (self.k, self.stride, self.padding) == (3, 1, 1)
    }

    pub(super) fn is_pointwise(&self) -> bool {
        (self.k, self.stride, self.padding) == (1, 1, 0)
    }

    /// With input and output channels exchanged.
    pub(super) fn exchanged(&self) -> Self {
        Self { c_in: self.c_out, c_out: self.c_in, ..*self }
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device, Tensor};

    use super::*;

    #[test]
    fn shapes_beyond_memory_are_refused() -> Result<()> {
        let cfg = Conv2dConfig { padding: 1, ..Conv2dConfig::default() };
        let weight = Tensor::zeros((1, 1, 3, 3), DType::F32, &Device::Cpu)?;
        let one = Tensor::zeros((1, 1, 1, 1), DType::F32, &Device::Cpu)?;
        for side in [1 << 30, 1 << 31] {
            let x = one.broadcast_as((1, 1, side, side))?;
            let error = Geometry::new(&x, &weight, None, cfg).unwrap_err().to_string();
            assert!(error.contains("larger than memory"), "{error}");
        }
        Geometry::new(&one.broadcast_as((1, 1, 1 << 14, 1 << 14))?, &weight, None, cfg)?;
        Ok(())
    }
}
