//! Nearest-neighbour upsampling by two.

mod cpu;
mod reference;

#[cfg(test)]
mod tests;

use candle_core::{CpuStorage, CustomOp1, DType, Device, Layout, Result, Shape, Tensor, bail};

use crate::storage::{as_f32, read};

/// Every pixel becomes a 2x2 block of itself.
/// - `x`: `(batch, channels, h, w)`, any of them may be 0
/// - result: `(batch, channels, 2 * h, 2 * w)`
///
/// The gradient of a pixel is the sum over its block. `f32` on the CPU runs on this crate's kernels, any other dtype or
/// device on candle's operations.
/// # Errors
/// When `x` has not four dimensions.
pub fn upsample_nearest_2x(x: &Tensor) -> Result<Tensor> {
    if x.rank() != 4 {
        bail!("upsample_nearest_2x: `x` must be (batch, channels, h, w), got {:?}", x.shape());
    }
    if x.dtype() != DType::F32 || !x.device().is_cpu() || x.elem_count() == 0 {
        return reference::upsample_nearest_2x(x);
    }
    x.contiguous()?.apply_op1(UpsampleNearest2x)
}

/// The operation in candle's graph.
struct UpsampleNearest2x;

impl CustomOp1 for UpsampleNearest2x {
    fn name(&self) -> &'static str {
        "cccm_upsample_nearest_2x"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (batch, channels, h, w) = layout.shape().dims4()?;
        let y = cpu::forward([h, w], as_f32(x, layout)?);
        Ok((CpuStorage::F32(y), Shape::from((batch, channels, 2 * h, 2 * w))))
    }

    fn bwd(&self, x: &Tensor, _y: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        let (_, _, h, w) = x.dims4()?;
        let dy = dy.contiguous()?;
        let dy = read(&dy);
        let dx = cpu::backward([h, w], dy.as_f32()?);
        Tensor::from_vec(dx, x.shape(), &Device::Cpu).map(Some)
    }
}
