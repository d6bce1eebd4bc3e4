//! 2-D convolution.

mod bands;
mod cpu;
#[cfg(target_arch = "x86_64")]
mod direct;
mod geometry;
mod grad;
mod im2col;
mod reference;
#[cfg(target_arch = "x86_64")]
mod row_products;
mod winograd;

#[cfg(test)]
mod tests;

use candle_core::{CpuStorage, CustomOp2, CustomOp3, DType, Layout, Result, Shape, Tensor, bail};

use crate::isa::Isa;
use crate::storage::as_f32;
use geometry::Geometry;

/// Stride and zero padding of a convolution, the same in both directions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conv2dConfig {
    /// Input pixels from one output pixel to the next, at least 1. Default 1.
    pub stride: usize,
    /// Zeros added on each side. Default 0.
    pub padding: usize,
}

impl Default for Conv2dConfig {
    fn default() -> Self {
        Self { stride: 1, padding: 0 }
    }
}

/// 2-D convolution (cross-correlation, as in every deep-learning library) with zero padding.
/// - `x`: `(batch, c_in, h, w)`; `batch` may be 0
/// - `weight`: `(c_out, c_in, k, k)`
/// - `bias`: `(c_out,)`, or `(batch, c_out)` for one bias per sample
/// - result: `(batch, c_out, h', w')` with `h' = (h + 2 * padding - k) / stride + 1` rounded down, `w'` alike
///
/// Gradients flow to `x`, `weight` and `bias`; none is computed for an argument that tracks none. `f32` on the CPU
/// runs on this crate's kernels, any other dtype or device on candle's operations (candle has no `bf16`
/// convolution on the CPU).
///
/// ```
/// use candle_core::{Device, Tensor};
/// use cccm_kernels::{Conv2dConfig, conv2d};
///
/// let x = Tensor::ones((1, 1, 4, 4), candle_core::DType::F32, &Device::Cpu)?;
/// let weight = Tensor::ones((1, 1, 3, 3), candle_core::DType::F32, &Device::Cpu)?;
/// let y = conv2d(&x, &weight, None, Conv2dConfig { stride: 2, padding: 1 })?;
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
        if let Some(tensor) = tensor
            && (tensor.dtype() != x.dtype() || !tensor.device().same_device(x.device()))
        {
            bail!(
                "conv2d: `{name}` must be {:?} on {:?} like `x`, got {:?} on {:?}",
                x.dtype(),
                x.device().location(),
                tensor.dtype(),
                tensor.device().location()
            );
        }
    }
    if x.dtype() != DType::F32 || !x.device().is_cpu() {
        return reference::conv2d(&geometry, x, weight, bias);
    }
    let op = Conv2d { geometry, isa };
    let (x, weight) = (x.contiguous()?, weight.contiguous()?);
    match bias {
        None => x.apply_op2(&weight, op),
        Some(bias) => x.apply_op3(&weight, &bias.contiguous()?, op),
    }
}

/// The operation in candle's graph: of `(x, weight)`, or of `(x, weight, bias)`.
struct Conv2d {
    geometry: Geometry,
    isa: Isa,
}

impl Conv2d {
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
