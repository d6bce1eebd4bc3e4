//! Nearest-neighbour upsampling by two.

mod cpu;
#[cfg(feature = "cuda")]
mod cuda;
#[cfg(any(feature = "cuda", test))]
mod gpu;
#[cfg(test)]
mod gpu_tests;
mod reference;

#[cfg(test)]
mod tests;

#[cfg(feature = "cuda")]
use candle_core::CudaStorage;
use candle_core::{CpuStorage, CustomOp1, DType, Device, Layout, Result, Shape, Tensor};

use crate::ImageLayout;
use crate::storage::{as_f32, read};

/// Every pixel becomes a 2x2 block of itself.
/// - `x`: `(batch, channels, h, w)`, or in the order of `layout`; any of them may be 0
/// - result: `(batch, channels, 2 * h, 2 * w)`, or in that order
///
/// The gradient of a pixel is the sum over its block. `f32` on the CPU, and `f32` and `bf16` on an NVIDIA GPU
/// (feature `cuda`), run on this crate's kernels, anything else on candle's operations.
/// # Errors
/// When `x` has not four dimensions.
pub fn upsample_nearest_2x(x: &Tensor, layout: ImageLayout) -> Result<Tensor> {
    layout.sizes("upsample_nearest_2x", x)?;
    let through = |inner: ImageLayout, f: &dyn Fn(&Tensor) -> Result<Tensor>| {
        inner.convert(&f(&layout.convert(x, inner)?)?, layout)
    };
    let op = |x: &Tensor| x.contiguous()?.apply_op1(UpsampleNearest2x);
    let (dtype, device) = (x.dtype(), x.device());
    if x.elem_count() == 0 {
        through(ImageLayout::ChannelsFirst, &reference::upsample_nearest_2x)
    } else if device.is_cuda() && cfg!(feature = "cuda") && matches!(dtype, DType::F32 | DType::BF16) {
        through(ImageLayout::ChannelsLast, &op)
    } else if device.is_cpu() && dtype == DType::F32 {
        through(ImageLayout::ChannelsFirst, &op)
    } else {
        through(ImageLayout::ChannelsFirst, &reference::upsample_nearest_2x)
    }
}

/// The operation in candle's graph: channels first on the CPU, channels last on a GPU.
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

    #[cfg(feature = "cuda")]
    fn cuda_fwd(&self, x: &CudaStorage, layout: &Layout) -> Result<(CudaStorage, Shape)> {
        cuda::forward(x, layout)
    }

    fn bwd(&self, x: &Tensor, _y: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        #[cfg(feature = "cuda")]
        if x.device().is_cuda() {
            return cuda::backward(x, &dy.contiguous()?).map(Some);
        }
        let (_, _, h, w) = x.dims4()?;
        let dy = dy.contiguous()?;
        let dy = read(&dy);
        let dx = cpu::backward([h, w], dy.as_f32()?);
        Tensor::from_vec(dx, x.shape(), &Device::Cpu).map(Some)
    }
}
