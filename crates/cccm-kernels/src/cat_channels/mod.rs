//! The channels of two images behind each other.

#[cfg(feature = "cuda")]
mod cuda;
#[cfg(any(feature = "cuda", test))]
mod gpu;
#[cfg(test)]
mod gpu_tests;
#[cfg(test)]
mod tests;

#[cfg(feature = "cuda")]
use candle_core::CudaStorage;
use candle_core::{CpuStorage, CustomOp2, DType, Layout, Result, Shape, Tensor, bail};

use crate::ImageLayout;
use crate::buffer::par_chunks;
use crate::layout::ImageSizes;
use crate::storage::as_f32;

/// `[a, b]` along the channels, copied on the threads of the rayon pool the call runs in; candle copies on one.
/// - `a`, `b`: `(batch, c, h, w)`, or in the order of `layout`; alike but for `c`
/// - result: `(batch, c_a + c_b, h, w)`, or in that order
///
/// `f32` on the CPU, channels first, and `f32` and `bf16` on an NVIDIA GPU (feature `cuda`), channels last, run on this
/// crate's kernels, anything else on candle's operations.
///
/// # Errors
/// When shapes, dtypes or devices do not fit each other.
pub fn cat_channels(a: &Tensor, b: &Tensor, layout: ImageLayout) -> Result<Tensor> {
    let sizes = |t: &Tensor| layout.sizes("cat_channels", t);
    let (of_a, of_b) = (sizes(a)?, sizes(b)?);
    if of_a != (ImageSizes { channels: of_a.channels, ..of_b }) {
        bail!(
            "cat_channels: both must be alike but for their channels, got {:?} and {:?}",
            a.shape(),
            b.shape()
        );
    }
    let is_ours = |t: &Tensor| match layout {
        _ if t.elem_count() == 0 => false,
        ImageLayout::ChannelsFirst => t.dtype() == DType::F32 && t.device().is_cpu(),
        ImageLayout::ChannelsLast => {
            let known = matches!(t.dtype(), DType::F32 | DType::BF16);
            known && t.device().is_cuda() && cfg!(feature = "cuda")
        }
    };
    if a.dtype() != b.dtype() || !(is_ours(a) && is_ours(b)) {
        return Tensor::cat(&[a, b], layout.channel_dim());
    }
    a.contiguous()?.apply_op2(&b.contiguous()?, CatChannels)
}

/// The operation in candle's graph: channels first on the CPU, channels last on a GPU.
struct CatChannels;

impl CustomOp2 for CatChannels {
    fn name(&self) -> &'static str {
        "cccm_cat_channels"
    }

    fn cpu_fwd(
        &self,
        a: &CpuStorage,
        a_layout: &Layout,
        b: &CpuStorage,
        b_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (batch, a_channels, h, w) = a_layout.shape().dims4()?;
        let b_channels = b_layout.dims()[1];
        let (a, b) = (as_f32(a, a_layout)?, as_f32(b, b_layout)?);
        let (pixels, channels) = (h * w, a_channels + b_channels);
        let (out, _) = par_chunks(batch * channels * pixels, pixels, |plane, out| {
            let (sample, channel) = (plane / channels, plane % channels);
            let source = match channel.checked_sub(a_channels) {
                None => &a[(sample * a_channels + channel) * pixels..],
                Some(channel) => &b[(sample * b_channels + channel) * pixels..],
            };
            out.extend(source[..pixels].iter().copied());
        });
        Ok((CpuStorage::F32(out), Shape::from((batch, channels, h, w))))
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(
        &self,
        a: &CudaStorage,
        a_layout: &Layout,
        b: &CudaStorage,
        b_layout: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        cuda::forward((a, a_layout), (b, b_layout))
    }

    fn bwd(
        &self,
        a: &Tensor,
        b: &Tensor,
        _y: &Tensor,
        dy: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        #[cfg(feature = "cuda")]
        if a.device().is_cuda() {
            let dy = dy.contiguous()?;
            let (of_a, of_b) = (a.dim(3)?, b.dim(3)?);
            let grad =
                |arg: &Tensor, first, len| arg.track_op().then(|| cuda::narrow(&dy, first, len)).transpose();
            return Ok((grad(a, 0, of_a)?, grad(b, of_a, of_b)?));
        }
        let (a_channels, b_channels) = (a.dim(1)?, b.dim(1)?);
        let grad = |arg: &Tensor, start, len| arg.track_op().then(|| dy.narrow(1, start, len)).transpose();
        Ok((grad(a, 0, a_channels)?, grad(b, a_channels, b_channels)?))
    }
}
