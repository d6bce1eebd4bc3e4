//! On an NVIDIA GPU.
#![expect(unsafe_code, reason = "launches kernels")]

use candle_core::{CudaStorage, Result};

use super::{Dropout, gpu};
use crate::cuda::{Element, Part, Stream, allocate, view, with_element};
use crate::layout::ImageSizes;

pub(super) fn forward(op: &Dropout, x: Part<'_>) -> Result<CudaStorage> {
    with_element!(x.0, forward_of::<_>(op, x))
}

fn forward_of<T: Element>(op: &Dropout, x: Part<'_>) -> Result<CudaStorage> {
    let (batch, height, width, channels) = x.1.shape().dims4()?;
    let sizes = ImageSizes { batch, channels, height, width };
    let device = &x.0.device;
    let stream = Stream(device);
    let x = view::<T>(x)?;
    let mut y = allocate::<T>(device, x.len())?;
    let (from, to) = (stream.read(&x), stream.write(&mut y));
    // SAFETY: the view is of these sizes, the allocation is as long.
    unsafe { gpu::launch(&stream, op, sizes, T::ELEMENTS, from, to)? };
    Ok(CudaStorage::wrap_cuda_slice(y, device.clone()))
}
