//! On an NVIDIA GPU, through cuDNN.
#![expect(unsafe_code, reason = "calls cuDNN")]

mod engine;
mod plan;
mod turn;

use candle_core::cuda_backend::cudarc::driver::CudaSlice;
use candle_core::{CudaStorage, Result, Shape, Tensor};

use super::geometry::Geometry;
use super::gpu::{Bias, Transposition, add_bias, channel_sums};
use crate::cuda::{Element, Part, Stream, allocate, cuda_storage, tensor, view, with_element};
use crate::gpu::{Elements, Images};
use engine::convolve;
use plan::Direction;

/// `x (batch, h, w, c_in)` convolved with `weight`, `f32`, plus `bias`, `f32`, as `(batch, h', w', c_out)`.
pub(super) fn forward(
    g: &Geometry,
    x: Part<'_>,
    weight: Part<'_>,
    bias: Option<Part<'_>>,
) -> Result<(CudaStorage, Shape)> {
    let y = with_element!(x.0, forward_of::<_>(g, x, weight, bias))?;
    Ok((y, Shape::from((g.batch, g.out_h(), g.out_w(), g.c_out))))
}

fn forward_of<T: Element>(
    g: &Geometry,
    x: Part<'_>,
    weight: Part<'_>,
    bias: Option<Part<'_>>,
) -> Result<CudaStorage> {
    let device = &x.0.device;
    let stream = Stream(device);
    let x = view::<T>(x)?;
    let mut y = allocate::<T>(device, g.batch * g.out_pixels() * g.c_out)?;
    if g.batch > 0 {
        let weight = packed::<T>(&stream, g, weight)?;
        let (from, by, to) = (stream.read(&x), stream.read(&weight), stream.write(&mut y));
        convolve(device, g, T::ELEMENTS, Direction::Forward, [from, by], to)?;
        if let Some(bias) = bias {
            let bias = view::<f32>(bias)?;
            let which = if bias.len() == g.c_out { Bias::OfAll } else { Bias::PerSample };
            // SAFETY: `y` is of the images' length, the bias was checked to be one of the two.
            unsafe { add_bias(&stream, results(g), T::ELEMENTS, to, stream.read(&bias), which)? };
        }
    }
    Ok(CudaStorage::wrap_cuda_slice(y, device.clone()))
}

/// Gradient of `x`.
pub(super) fn grad_x(g: &Geometry, x: &Tensor, weight: &Tensor, dy: &Tensor) -> Result<Tensor> {
    let (storage, _) = dy.storage_and_layout();
    with_element!(cuda_storage(&storage)?, grad_x_of::<_>(g, x, weight, dy))
}

fn grad_x_of<T: Element>(g: &Geometry, x: &Tensor, weight: &Tensor, dy: &Tensor) -> Result<Tensor> {
    let ((storage, layout), (weight, weight_layout)) = (dy.storage_and_layout(), weight.storage_and_layout());
    let storage = cuda_storage(&storage)?;
    let device = &storage.device;
    let stream = Stream(device);
    let mut dx = allocate::<T>(device, x.elem_count())?;
    if g.batch > 0 {
        let dy = view::<T>((storage, layout))?;
        let weight = packed::<T>(&stream, g, (cuda_storage(&weight)?, weight_layout))?;
        let (from, by, to) = (stream.read(&dy), stream.read(&weight), stream.write(&mut dx));
        convolve(device, g, T::ELEMENTS, Direction::GradX, [from, by], to)?;
    }
    Ok(tensor(dx, device, x.shape()))
}

/// Gradient of `weight`, `f32`.
pub(super) fn grad_weight(g: &Geometry, x: &Tensor, weight: &Tensor, dy: &Tensor) -> Result<Tensor> {
    let (storage, _) = dy.storage_and_layout();
    with_element!(cuda_storage(&storage)?, grad_weight_of::<_>(g, x, weight, dy))
}

fn grad_weight_of<T: Element>(g: &Geometry, x: &Tensor, weight: &Tensor, dy: &Tensor) -> Result<Tensor> {
    if g.batch == 0 {
        return weight.zeros_like();
    }
    let ((x, x_layout), (dy, dy_layout)) = (x.storage_and_layout(), dy.storage_and_layout());
    let (x, dy) = (cuda_storage(&x)?, cuda_storage(&dy)?);
    let device = &x.device;
    let stream = Stream(device);
    let (x, dy) = (view::<T>((x, x_layout))?, view::<T>((dy, dy_layout))?);
    let mut packed = allocate::<T>(device, weight.elem_count())?;
    let (from, by, to) = (stream.read(&x), stream.read(&dy), stream.write(&mut packed));
    convolve(device, g, T::ELEMENTS, Direction::GradWeight, [from, by], to)?;
    let mut gradient = allocate::<f32>(device, weight.elem_count())?;
    let back = Transposition { count: g.c_out, rows: g.taps(), columns: g.c_in };
    // SAFETY: both are of the weight's length.
    unsafe { back.launch(&stream, (to, T::ELEMENTS), (stream.write(&mut gradient), Elements::F32))? };
    Ok(tensor(gradient, device, weight.shape()))
}

/// Gradient of `bias`, `f32`.
pub(super) fn grad_bias(g: &Geometry, bias: &Tensor, dy: &Tensor) -> Result<Tensor> {
    let (storage, _) = dy.storage_and_layout();
    with_element!(cuda_storage(&storage)?, grad_bias_of::<_>(g, bias, dy))
}

fn grad_bias_of<T: Element>(g: &Geometry, bias: &Tensor, dy: &Tensor) -> Result<Tensor> {
    if g.batch == 0 {
        return bias.zeros_like();
    }
    let (storage, layout) = dy.storage_and_layout();
    let storage = cuda_storage(&storage)?;
    let device = &storage.device;
    let stream = Stream(device);
    let dy = view::<T>((storage, layout))?;
    let mut sums = allocate::<f32>(device, bias.elem_count())?;
    let which = if bias.rank() == 1 { Bias::OfAll } else { Bias::PerSample };
    // SAFETY: the view is of the images' length, the allocation of the sums'.
    unsafe {
        channel_sums(&stream, results(g), T::ELEMENTS, stream.read(&dy), stream.write(&mut sums), which)?;
    }
    Ok(tensor(sums, device, bias.shape()))
}

/// What a convolution gives.
fn results(g: &Geometry) -> Images {
    Images { batch: g.batch, pixels: g.out_pixels(), channels: g.c_out }
}

/// The weight `(c_out, c_in, k, k)` as `(c_out, k, k, c_in)`, rounded to the type of the images. It is made
/// anew for every pass: it is small compared with the images, and a stored copy would have to follow every
/// update.
fn packed<T: Element>(stream: &Stream<'_>, g: &Geometry, weight: Part<'_>) -> Result<CudaSlice<T>> {
    let weight = view::<f32>(weight)?;
    let mut packed = allocate::<T>(stream.0, weight.len())?;
    let turn = Transposition { count: g.c_out, rows: g.c_in, columns: g.taps() };
    let from = (stream.read(&weight), Elements::F32);
    // SAFETY: both are of the weight's length.
    unsafe { turn.launch(stream, from, (stream.write(&mut packed), T::ELEMENTS))? };
    Ok(packed)
}
