//! 2-D convolution.

mod bands;
mod config;
mod cpu;
#[cfg(feature = "cudnn")]
mod cudnn;
#[cfg(target_arch = "x86_64")]
mod direct;
mod geometry;
#[cfg(any(feature = "cudnn", test))]
mod gpu;
#[cfg(test)]
mod gpu_tests;
mod grad;
mod im2col;
mod reference;
#[cfg(target_arch = "x86_64")]
mod row_products;
mod winograd;

#[cfg(test)]
mod tests;

#[cfg(feature = "cudnn")]
use candle_core::CudaStorage;
use candle_core::{CpuStorage, CustomOp2, CustomOp3, DType, Layout, Result, Shape, Tensor};

use crate::ImageLayout;
use crate::dtype::{check_parameter, is_half};
use crate::isa::Isa;
use crate::storage::as_f32;
use geometry::Geometry;

pub use config::Conv2dConfig;

/// 2-D convolution (cross-correlation, as in every deep-learning library) with zero padding.
/// - `x`: `(batch, c_in, h, w)`, or in the order of `cfg.layout`; `batch` may be 0
/// - `weight`: `(c_out, c_in, k, k)`, in every layout
/// - `bias`: `(c_out,)`, or `(batch, c_out)` for one bias per sample
/// - result: `(batch, c_out, h', w')` with `h' = (h + 2 * padding - k) / stride + 1` rounded down, `w'` alike,
///   in the order of `x`
///
/// Gradients flow to `x`, `weight` and `bias`; none is computed for an argument that tracks none. `f32` on the CPU
/// runs on this crate's kernels; `f32` and `bf16` on an NVIDIA GPU on cuDNN, with feature `cudnn`; anything else on
/// candle's operations.
///
/// Where `x` is `bf16`, `weight` and `bias` may be `f32`, and have `f32` gradients then: weights are rounded for the
/// products, sums are `f32`, the result is rounded. `f32` products on a GPU are TF32 if candle's are
/// (`candle_core::cuda::set_gemm_reduced_precision_f32`).
///
/// ```
/// use candle_core::{Device, Tensor};
/// use cccm_kernels::{Conv2dConfig, conv2d};
///
/// let x = Tensor::ones((1, 1, 4, 4), candle_core::DType::F32, &Device::Cpu)?;
/// let weight = Tensor::ones((1, 1, 3, 3), candle_core::DType::F32, &Device::Cpu)?;
/// let y = conv2d(&x, &weight, None, Conv2dConfig::new(2, 1))?;
/// assert_eq!(y.squeeze(0)?.squeeze(0)?.to_vec2::<f32>()?, [[4.0, 6.0], [6.0, 9.0]]);
/// # Ok::<(), candle_core::Error>(())
/// ```
/// # Errors
/// When shapes, dtypes or devices do not fit each other, or the kernel is larger than the padded image.
pub fn conv2d(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>, cfg: Conv2dConfig) -> Result<Tensor> {
    conv2d_on(Isa::detect(), x, weight, bias, cfg)
}

fn conv2d_on(
    isa: Isa,
    x: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    cfg: Conv2dConfig,
) -> Result<Tensor> {
    let geometry = Geometry::new(x, weight, bias, cfg)?;
    for (name, tensor) in [("weight", Some(weight)), ("bias", bias)] {
        tensor.map_or(Ok(()), |tensor| check_parameter("conv2d", name, tensor, x))?;
    }
    if x.device().is_cuda() && cfg!(feature = "cudnn") && matches!(x.dtype(), DType::F32 | DType::BF16) {
        let x = cfg.layout.convert(x, ImageLayout::ChannelsLast)?;
        let masters = |t: &Tensor| t.to_dtype(DType::F32);
        let bias = bias.map(masters).transpose()?;
        let y = Conv2d { geometry, isa }.apply(&x, &masters(weight)?, bias.as_ref())?;
        return ImageLayout::ChannelsLast.convert(&y, cfg.layout);
    }
    if is_half(x.dtype()) {
        let exact = |t: &Tensor| t.to_dtype(DType::F32);
        let rounded = exact(&weight.to_dtype(x.dtype())?)?;
        let y = conv2d_on(isa, &exact(x)?, &rounded, bias.map(exact).transpose()?.as_ref(), cfg)?;
        return y.to_dtype(x.dtype());
    }
    let x = cfg.layout.convert(x, ImageLayout::ChannelsFirst)?;
    let y = if x.device().is_cpu() && x.dtype() == DType::F32 {
        Conv2d { geometry, isa }.apply(&x, weight, bias)?
    } else {
        reference::conv2d(&geometry, &x, weight, bias)?
    };
    ImageLayout::ChannelsFirst.convert(&y, cfg.layout)
}

/// The operation in candle's graph: of `(x, weight)`, or of `(x, weight, bias)`.
struct Conv2d {
    geometry: Geometry,
    isa: Isa,
}

impl Conv2d {
    fn apply(self, x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
        let (x, weight) = (x.contiguous()?, weight.contiguous()?);
        match bias {
            None => x.apply_op2(&weight, self),
            Some(bias) => x.apply_op3(&weight, &bias.contiguous()?, self),
        }
    }

    fn forward(&self, x: &[f32], weight: &[f32], bias: Option<&[f32]>) -> (CpuStorage, Shape) {
        let g = &self.geometry;
        let shape = Shape::from((g.batch, g.c_out, g.out_h(), g.out_w()));
        (CpuStorage::F32(cpu::forward(g, self.isa, x, weight, bias)), shape)
    }
}

impl CustomOp2 for Conv2d {
    fn name(&self) -> &'static str {
        "cccm_conv2d"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        Ok(self.forward(as_f32(x, x_layout)?, as_f32(weight, weight_layout)?, None))
    }

    #[cfg(feature = "cudnn")]
    fn cuda_fwd(
        &self,
        x: &CudaStorage,
        x_layout: &Layout,
        weight: &CudaStorage,
        weight_layout: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        cudnn::forward(&self.geometry, (x, x_layout), (weight, weight_layout), None)
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        _y: &Tensor,
        dy: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let dy = dy.contiguous()?;
        Ok((self.grad_x(x, weight, &dy)?, self.grad_weight(x, weight, &dy)?))
    }
}

impl CustomOp3 for Conv2d {
    fn name(&self) -> &'static str {
        "cccm_conv2d_bias"
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
        let bias = as_f32(bias, bias_layout)?;
        Ok(self.forward(as_f32(x, x_layout)?, as_f32(weight, weight_layout)?, Some(bias)))
    }

    #[cfg(feature = "cudnn")]
    fn cuda_fwd(
        &self,
        x: &CudaStorage,
        x_layout: &Layout,
        weight: &CudaStorage,
        weight_layout: &Layout,
        bias: &CudaStorage,
        bias_layout: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        cudnn::forward(&self.geometry, (x, x_layout), (weight, weight_layout), Some((bias, bias_layout)))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        bias: &Tensor,
        _y: &Tensor,
        dy: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let dy = dy.contiguous()?;
        Ok((self.grad_x(x, weight, &dy)?, self.grad_weight(x, weight, &dy)?, self.grad_bias(bias, &dy)?))
    }
}
