//! Group normalization and SiLU in one operation.

mod cpu;
#[cfg(feature = "cuda")]
mod cuda;
mod exp;
#[cfg(any(feature = "cuda", test))]
mod gpu;
#[cfg(test)]
mod gpu_tests;
mod grad;
mod reference;
mod sizes;

#[cfg(test)]
mod tests;

use std::sync::OnceLock;

#[cfg(feature = "cuda")]
use candle_core::CudaStorage;
use candle_core::{CpuStorage, CustomOp3, DType, Layout, Result, Shape, Tensor};

use crate::ImageLayout;
use crate::dtype::is_half;
use crate::isa::Isa;
use crate::storage::as_f32;
use cpu::Moments;
use sizes::Sizes;

pub use sizes::GroupNormConfig;

/// `SiLU(GroupNorm(x))`, with `SiLU(z) = z * sigmoid(z)` and
/// `GroupNorm(x) = (x - mean) / sqrt(variance + eps) * weight + bias`, where mean and (biased) variance are those of one
/// sample's group of `channels / groups` neighbouring channels (Wu and He 2018, eq. 1).
/// - `x`, result: `(batch, channels, h, w)`, or in the order of `cfg.layout`; `batch` may be 0
/// - `weight`, `bias`: `(channels,)`, of `x`'s dtype, or `f32` where that is half precision
///
/// Gradients flow to `x`, `weight` and `bias`; an argument that tracks none gets none. `f32` on the CPU, and `f32` and
/// `bf16` on an NVIDIA GPU (feature `cuda`), run on this crate's kernels, anything else on candle's operations; half
/// precision is computed in `f32`.
/// # Errors
/// When shapes, dtypes or devices do not fit each other.
pub fn group_norm_silu(x: &Tensor, weight: &Tensor, bias: &Tensor, cfg: GroupNormConfig) -> Result<Tensor> {
    group_norm_silu_on(Isa::detect(), x, weight, bias, cfg)
}

fn group_norm_silu_on(
    isa: Isa,
    x: &Tensor,
    weight: &Tensor,
    bias: &Tensor,
    cfg: GroupNormConfig,
) -> Result<Tensor> {
    let sizes = Sizes::new(x, weight, bias, cfg)?;
    let op = |x: &Tensor, weight: &Tensor, bias: &Tensor| {
        let op = GroupNormSilu { sizes, eps: cfg.eps, isa, moments: OnceLock::new() };
        x.contiguous()?.apply_op3(&weight.contiguous()?, &bias.contiguous()?, op)
    };
    let exact = |t: &Tensor| t.to_dtype(DType::F32);
    if x.device().is_cuda() && cfg!(feature = "cuda") && matches!(x.dtype(), DType::F32 | DType::BF16) {
        let x = cfg.layout.convert(x, ImageLayout::ChannelsLast)?;
        return ImageLayout::ChannelsLast.convert(&op(&x, &exact(weight)?, &exact(bias)?)?, cfg.layout);
    }
    if is_half(x.dtype()) {
        return group_norm_silu_on(isa, &exact(x)?, &exact(weight)?, &exact(bias)?, cfg)?.to_dtype(x.dtype());
    }
    let x = cfg.layout.convert(x, ImageLayout::ChannelsFirst)?;
    let y = if x.device().is_cpu() && x.dtype() == DType::F32 {
        op(&x, weight, bias)?
    } else {
        reference::group_norm_silu(&sizes, cfg.eps, &x, weight, bias)?
    };
    ImageLayout::ChannelsFirst.convert(&y, cfg.layout)
}

/// The operation in candle's graph.
struct GroupNormSilu {
    sizes: Sizes,
    eps: f64,
    isa: Isa,
    /// Of every group, written by forward for backward.
    moments: OnceLock<SavedMoments>,
}

/// Where the moments lie.
enum SavedMoments {
    Cpu(Vec<Moments>),
    #[cfg(feature = "cuda")]
    Cuda(cuda::Moments),
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
        self.moments.get_or_init(|| SavedMoments::Cpu(moments));
        Ok((CpuStorage::F32(y), x_layout.shape().clone()))
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(
        &self,
        x: &CudaStorage,
        x_layout: &Layout,
        weight: &CudaStorage,
        weight_layout: &Layout,
        bias: &CudaStorage,
        bias_layout: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        let parameters = [(weight, weight_layout), (bias, bias_layout)];
        let (y, moments) = cuda::forward(&self.sizes, self.eps, (x, x_layout), parameters)?;
        self.moments.get_or_init(|| SavedMoments::Cuda(moments));
        Ok((y, x_layout.shape().clone()))
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
