//! Clipping by the norm of all gradients together (Pascanu et al. 2013, algorithm 1).

use std::collections::BTreeMap;

use candle_core::{DType, Device, Storage, Tensor};
use rayon::prelude::*;

use crate::Result;
use crate::in_place::{CHUNK, has_slice, slice};

/// Euclidean norm of all elements of all gradients, 0 for none; NaN or infinite if an element is.
///
/// Squares are added in `f64` and in an order that depends on names and shapes alone, so the
/// result is the same for any number of threads.
///
/// # Errors
/// [`Error::Candle`](crate::Error::Candle) when a gradient cannot be read.
pub fn global_norm(grads: &BTreeMap<String, Tensor>) -> Result<f64> {
    Ok(squared_norm(grads)?.to_scalar::<f64>()?.sqrt())
}

/// The square of [`global_norm`], a scalar in `f64` on the device of the gradients, which is not waited for.
///
/// # Errors
/// [`Error::Candle`](crate::Error::Candle) when an operation fails, as gradients of several devices make it.
pub fn squared_norm(grads: &BTreeMap<String, Tensor>) -> Result<Tensor> {
    #[cfg(feature = "cuda")]
    if !grads.is_empty() && grads.values().all(cccm_kernels::can_update_at_once) {
        return Ok(cccm_kernels::squared_norm_at_once(&grads.values().collect::<Vec<_>>())?);
    }
    let mut sum = 0.0;
    let mut elsewhere = Vec::new();
    for grad in grads.values() {
        if has_slice(grad) {
            sum += sum_of_squares(grad)?;
        } else {
            elsewhere.push(sum_of_squares_composed(grad)?);
        }
    }
    match elsewhere.first() {
        None => Ok(Tensor::new(sum, &Device::Cpu)?),
        Some(_) => Ok(Tensor::stack(&elsewhere, 0)?.sum_all()?.affine(1.0, sum)?),
    }
}

/// What to multiply gradients of norm `norm` with, that it be at most `max_norm`:
/// `min(1, max_norm / (norm + 1e-6))`, as `torch.nn.utils.clip_grad_norm_` does.
///
/// - `norm`: from [`global_norm`]
/// - `max_norm`: above 0; infinity turns clipping off
///
/// NaN gives NaN, which [`AdamW::step`](crate::AdamW::step) refuses.
pub fn clip_factor(norm: f64, max_norm: f64) -> f64 {
    /// PyTorch's guard against division by zero.
    const GUARD: f64 = 1e-6;
    let factor = max_norm / (norm + GUARD);
    // Not `min`: that prefers 1 to NaN.
    if factor > 1.0 { 1.0 } else { factor }
}

/// Of any float tensor, as a `f64` scalar on its device.
fn sum_of_squares_composed(t: &Tensor) -> Result<Tensor> {
    let squares = t.to_dtype(DType::F64)?.sqr()?;
    // Row by row first: on CUDA, candle adds up a whole tensor in a single block.
    let rows = if squares.rank() > 1 { squares.flatten_from(1)?.sum(1)? } else { squares };
    Ok(rows.sum_all()?)
}

/// Of a tensor that satisfies [`has_slice`].
fn sum_of_squares(t: &Tensor) -> candle_core::Result<f64> {
    let (storage, layout) = t.storage_and_layout();
    let Storage::Cpu(storage) = &*storage else {
        candle_core::bail!("a tensor on the CPU has its storage elsewhere")
    };
    let values = slice(storage, layout)?;
    if values.len() <= CHUNK {
        return Ok(sum_of_squares_f32(values));
    }
    let parts: Vec<f64> = values.par_chunks(CHUNK).map(sum_of_squares_f32).collect();
    Ok(parts.iter().sum())
}

/// Eight running sums, so that the additions need not wait for each other.
fn sum_of_squares_f32(values: &[f32]) -> f64 {
    const LANES: usize = 8;
    let mut sums = [0.0f64; LANES];
    let (groups, rest) = values.as_chunks::<LANES>();
    for group in groups {
        for (sum, value) in sums.iter_mut().zip(group) {
            *sum += f64::from(*value) * f64::from(*value);
        }
    }
    let rest: f64 = rest.iter().map(|value| f64::from(*value) * f64::from(*value)).sum();
    sums.iter().sum::<f64>() + rest
}
