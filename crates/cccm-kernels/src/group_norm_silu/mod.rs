//! Group normalization and SiLU in one operation.

mod cpu;
mod exp;
mod grad;
mod reference;

#[cfg(test)]
mod tests;

use std::sync::OnceLock;

use candle_core::{CpuStorage, CustomOp3, DType, Layout, Result, Shape, Tensor, bail};

use crate::isa::Isa;
use crate::storage::as_f32;
use cpu::Moments;

/// `SiLU(GroupNorm(x))`, with `SiLU(z) = z * sigmoid(z)` and
/// `GroupNorm(x) = (x - mean) / sqrt(variance + eps) * weight + bias`, where mean and (biased) variance are those of one
/// sample's group of `channels / groups` neighbouring channels (Wu and He 2018, eq. 1).
/// - `x`, result: `(batch, channels, h, w)`; `batch` may be 0
/// - `weight`, `bias`: `(channels,)`
/// - `groups` divides `channels`; `eps > 0`
///
/// Gradients flow to `x`, `weight` and `bias`; an argument that tracks none gets none. `f32` on the CPU runs on this
/// crate's kernels, any other dtype or device on candle's operations, half precision in `f32` inside.
/// # Errors
/// When shapes, dtypes or devices do not fit each other.
pub fn group_norm_silu(
    x: &Tensor,
    weight: &Tensor,
    bias: &Tensor,
    groups: usize,
    eps: f64,
) -> Result<Tensor> {
    group_norm_silu_on(Isa::detect(), x, weight, bias, groups, eps)
}

fn group_norm_silu_on(
    isa: Isa,
    x: &Tensor,
    weight: &Tensor,
    bias: &Tensor,
    groups: usize,
    eps: f64,
) -> Result<Tensor> {
    let sizes = Sizes::new(x, weight, bias, groups)?;
    if x.dtype() != DType::F32 || !x.device().is_cpu() {
        return reference::group_norm_silu(&sizes, eps, x, weight, bias);
    }
    let op = GroupNormSilu { sizes, eps, isa, moments: OnceLock::new() };
    x.contiguous()?.apply_op3(&weight.contiguous()?, &bias.contiguous()?, op)
}

/// Sizes of one call, checked.
#[derive(Clone, Copy, Debug)]
struct Sizes {
    batch: usize,
    channels: usize,
    groups: usize,
    pixels: usize,
}

impl Sizes {
    fn new(x: &Tensor, weight: &Tensor, bias: &Tensor, groups: usize) -> Result<Self> {
        let &[batch, channels, h, w] = x.dims() else {
            bail!("group_norm_silu: `x` must be (batch, channels, h, w), got {:?}", x.shape());
        };
        for (name, tensor) in [("weight", weight), ("bias", bias)] {
            if tensor.dims() != [channels] {
                bail!("group_norm_silu: `{name}` must be ({channels},), got {:?}", tensor.shape());
            }
            if tensor.dtype() != x.dtype() || !tensor.device().same_device(x.device()) {
                bail!(
                    "group_norm_silu: `{name}` must be {:?} on {:?} like `x`, got {:?} on {:?}",
                    x.dtype(),
                    x.device().location(),
                    tensor.dtype(),
                    tensor.device().location()
                );
            }
        }
        if channels * h * w == 0 {
            bail!("group_norm_silu: no dimension but the batch may be 0, got `x` {:?}", x.shape());
        }
        if groups == 0 || !channels.is_multiple_of(groups) {
            bail!("group_norm_silu: {groups} groups do not divide {channels} channels");
        }
        Ok(Self { batch, channels, groups, pixels: h * w })
    }

    fn channels_per_group(&self) -> usize {
        self.channels / self.groups
    }

    /// Values of one sample's group.
    fn group_len(&self) -> usize {
        self.channels_per_group() * self.pixels
    }
}

/// The operation in candle's graph.
struct GroupNormSilu {
    sizes: Sizes,
    eps: f64,
    isa: Isa,
    /// Of every group, written by forward for backward.
    moments: OnceLock<Vec<Moments>>,
}

impl CustomOp3 for GroupNormSilu {
    fn name(&self) -> &'static str {
        "cccm_group_norm_silu"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
        bias: &CpuStorage,
        bias_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let affine = cpu::Affine { weight: as_f32(weight, weight_layout)?, bias: as_f32(bias, bias_layout)? };
        let (y, moments) = cpu::forward(self.isa, &self.sizes, self.eps, as_f32(x, x_layout)?, affine);
        self.moments.get_or_init(|| moments);
        Ok((CpuStorage::F32(y), x_layout.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        bias: &Tensor,
        _y: &Tensor,
        dy: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        self.grad(x, weight, bias, &dy.contiguous()?)
    }
}
