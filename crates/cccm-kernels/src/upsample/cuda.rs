//! On an NVIDIA GPU.
#![expect(unsafe_code, reason = "launches kernels")]

use candle_core::{CudaStorage, Layout, Result, Shape, Tensor};

use super::gpu::{self, Direction};
use crate::ImageLayout;
use crate::cuda::{Element, Part, Stream, allocate, cuda_storage, tensor, view, with_element};
use crate::layout::ImageSizes;

/// Of `x (batch, h, w, channels)`.
pub(super) fn forward(x: &CudaStorage, layout: &Layout) -> Result<(CudaStorage, Shape)> {
    let (batch, height, width, channels) = layout.shape().dims4()?;
    let sizes = ImageSizes { batch, channels, height, width };
    with_element!(x, forward_of::<_>((x, layout), sizes))
}

fn forward_of<T: Element>(x: Part<'_>, sizes: ImageSizes) -> Result<(CudaStorage, Shape)> {
    let device = &x.0.device;
    let stream = Stream(device);
    let x = view::<T>(x)?;
    let mut y = allocate::<T>(device, 4 * x.len())?;
    let (from, to) = (stream.read(&x), stream.write(&mut y));
    // SAFETY: the view is of the sizes' length, the allocation of four times that.
    unsafe { gpu::launch(&stream, Direction::Up, sizes, T::ELEMENTS, from, to)? };
    let ImageSizes { batch, channels, height, width } = sizes;
    let shape = Shape::from((batch, 2 * height, 2 * width, channels));
    Ok((CudaStorage::wrap_cuda_slice(y, device.clone()), shape))
}

/// Gradient of `x (batch, h, w, channels)`, given the result's.
pub(super) fn backward(x: &Tensor, dy: &Tensor) -> Result<Tensor> {
    let (storage, _) = dy.storage_and_layout();
    with_element!(cuda_storage(&storage)?, backward_of::<_>(x, dy))
}

fn backward_of<T: Element>(x: &Tensor, dy: &Tensor) -> Result<Tensor> {
    let sizes = ImageLayout::ChannelsLast.sizes("upsample_nearest_2x", x)?;
    let (storage, layout) = dy.storage_and_layout();
    let storage = cuda_storage(&storage)?;
    let stream = Stream(&storage.device);
    let dy = view::<T>((storage, layout))?;
    let mut dx = allocate::<T>(&storage.device, x.elem_count())?;
    let (from, to) = (stream.read(&dy), stream.write(&mut dx));
    // SAFETY: the view is of four times the sizes' length, the allocation of that length.
    unsafe { gpu::launch(&stream, Direction::Gradient, sizes, T::ELEMENTS, to, from)? };
    Ok(tensor(dx, &storage.device, x.shape()))
}
