//! On an NVIDIA GPU.
#![expect(unsafe_code, reason = "launches kernels")]

use candle_core::{CudaStorage, Result, Shape, Tensor};

use super::gpu::{Channels, copy};
use crate::cuda::{Element, Part, Stream, allocate, cuda_storage, tensor, view, with_element};

/// Of `a` and `b`, `(batch, h, w, channels)` each.
pub(super) fn forward(a: Part<'_>, b: Part<'_>) -> Result<(CudaStorage, Shape)> {
    with_element!(a.0, forward_of::<_>(a, b))
}

fn forward_of<T: Element>(a: Part<'_>, b: Part<'_>) -> Result<(CudaStorage, Shape)> {
    let (batch, h, w, of_a) = a.1.shape().dims4()?;
    let of_b = b.1.dims()[3];
    let (device, pixels, of) = (&a.0.device, batch * h * w, of_a + of_b);
    let stream = Stream(device);
    let (a, b) = (view::<T>(a)?, view::<T>(b)?);
    let mut both = allocate::<T>(device, pixels * of)?;
    let to = stream.write(&mut both);
    for (from, len, first) in [(stream.read(&a), of_a, 0), (stream.read(&b), of_b, of_a)] {
        let from = Channels { images: from, of: len, first: 0 };
        // SAFETY: the views are of so many pixels and channels, the allocation of both together.
        unsafe { copy(&stream, T::ELEMENTS, pixels, len, from, Channels { images: to, of, first })? };
    }
    Ok((CudaStorage::wrap_cuda_slice(both, device.clone()), Shape::from((batch, h, w, of))))
}

/// So many channels of `dy (batch, h, w, channels)`, contiguous.
pub(super) fn narrow(dy: &Tensor, first: usize, len: usize) -> Result<Tensor> {
    let (storage, _) = dy.storage_and_layout();
    with_element!(cuda_storage(&storage)?, narrow_of::<_>(dy, first, len))
}

fn narrow_of<T: Element>(dy: &Tensor, first: usize, len: usize) -> Result<Tensor> {
    let (batch, h, w, of) = dy.dims4()?;
    let (storage, layout) = dy.storage_and_layout();
    let storage = cuda_storage(&storage)?;
    let stream = Stream(&storage.device);
    let dy = view::<T>((storage, layout))?;
    let pixels = batch * h * w;
    let mut part = allocate::<T>(&storage.device, pixels * len)?;
    let from = Channels { images: stream.read(&dy), of, first };
    let to = Channels { images: stream.write(&mut part), of: len, first: 0 };
    // SAFETY: the view is of so many pixels and channels, the allocation of so many pixels of `len` channels.
    unsafe { copy(&stream, T::ELEMENTS, pixels, len, from, to)? };
    Ok(tensor(part, &storage.device, (batch, h, w, len)))
}
