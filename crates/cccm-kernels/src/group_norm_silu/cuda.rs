//! On an NVIDIA GPU.
#![expect(unsafe_code, reason = "launches kernels")]

use candle_core::cuda_backend::cudarc::driver::CudaSlice;
use candle_core::{CudaStorage, Result, Tensor};

use super::gpu::{self, Arguments, Gradients};
use super::sizes::Sizes;
use crate::backward::hand_over;
use crate::cuda::{Element, Part, Stream, allocate, cuda_storage, tensor, view, with_element};

/// Mean and inverse deviation of every group, on the GPU.
pub(super) type Moments = CudaSlice<f32>;

/// Of `x (batch, pixels, channels)`.
pub(super) fn forward(
    sizes: &Sizes,
    eps: f64,
    x: Part<'_>,
    parameters: [Part<'_>; 2],
) -> Result<(CudaStorage, Moments)> {
    with_element!(x.0, forward_of::<_>(sizes, eps, x, parameters))
}

fn forward_of<T: Element>(
    sizes: &Sizes,
    eps: f64,
    x: Part<'_>,
    [weight, bias]: [Part<'_>; 2],
) -> Result<(CudaStorage, Moments)> {
    let device = &x.0.device;
    let stream = Stream(device);
    let (x, weight, bias) = (view::<T>(x)?, view::<f32>(weight)?, view::<f32>(bias)?);
    let mut y = allocate::<T>(device, x.len())?;
    let mut moments = allocate::<f32>(device, sizes.moments_len())?;
    let of = Arguments {
        x: stream.read(&x),
        weight: stream.read(&weight),
        bias: stream.read(&bias),
        moments: stream.write(&mut moments),
    };
    let to = stream.write(&mut y);
    // SAFETY: the views and allocations are of the sizes' lengths.
    unsafe { gpu::forward(&stream, sizes, T::ELEMENTS, eps, of, to)? };
    Ok((CudaStorage::wrap_cuda_slice(y, device.clone()), moments))
}

/// Gradients of `[x, weight, bias]`, given those and `dy`.
pub(super) fn backward(
    sizes: &Sizes,
    moments: &Moments,
    tensors: [&Tensor; 4],
) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
    let (x, _) = tensors[0].storage_and_layout();
    with_element!(cuda_storage(&x)?, backward_of::<_>(sizes, moments, tensors))
}

fn backward_of<T: Element>(
    sizes: &Sizes,
    moments: &Moments,
    [x, weight, bias, dy]: [&Tensor; 4],
) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
    let shape = x.shape().clone();
    let (d_x, d_weight, d_bias) = {
        let [x, weight, bias, dy] = [x, weight, bias, dy].map(Tensor::storage_and_layout);
        let device = &cuda_storage(&x.0)?.device;
        let stream = Stream(device);
        let (x, dy) = (view::<T>((cuda_storage(&x.0)?, x.1))?, view::<T>((cuda_storage(&dy.0)?, dy.1))?);
        let weight = view::<f32>((cuda_storage(&weight.0)?, weight.1))?;
        let bias = view::<f32>((cuda_storage(&bias.0)?, bias.1))?;
        let mut d_x = allocate::<T>(device, x.len())?;
        let mut d_weight = allocate::<f32>(device, sizes.channels)?;
        let mut d_bias = allocate::<f32>(device, sizes.channels)?;
        let of = Arguments {
            x: stream.read(&x),
            weight: stream.read(&weight),
            bias: stream.read(&bias),
            moments: stream.read(moments),
        };
        let to = Gradients {
            x: stream.write(&mut d_x),
            weight: stream.write(&mut d_weight),
            bias: stream.write(&mut d_bias),
        };
        // SAFETY: the views and allocations are of the sizes' lengths.
        unsafe { gpu::backward(&stream, sizes, T::ELEMENTS, of, stream.read(&dy), to)? };
        (
            tensor(d_x, device, shape),
            tensor(d_weight, device, sizes.channels),
            tensor(d_bias, device, sizes.channels),
        )
    };
    let for_tracked = |arg: &Tensor, grad: Tensor| {
        if arg.track_op() { hand_over(arg, grad) } else { Ok(None) }
    };
    Ok((for_tracked(x, d_x)?, for_tracked(weight, d_weight)?, for_tracked(bias, d_bias)?))
}
