//! Access to the elements of `f32` tensors on the CPU, without a copy.
//!
//! The closures run inside candle's in-place operations, so they write the storage that a
//! [`Var`](candle_core::Var) shares with the network built from it.

use std::cell::Cell;

use candle_core::{CpuStorage, DType, InplaceOp1, InplaceOp2, Layout, Result, Tensor, bail};

/// Elements per rayon job. Far more work than it costs to hand a job over, and small enough for
/// 2 cores to share a tensor evenly.
pub(crate) const CHUNK: usize = 1 << 15;

/// Whether the elements of `t` can be had as a slice.
pub(crate) fn has_slice(t: &Tensor) -> bool {
    t.device().is_cpu() && t.dtype() == DType::F32 && t.is_contiguous()
}

/// Runs `f` on the elements of `t`, which must satisfy [`has_slice`].
pub(crate) fn with_slice(t: &Tensor, f: impl FnOnce(&mut [f32]) -> Result<()>) -> Result<()> {
    t.inplace_op1(&Once(Cell::new(Some(f))))
}

/// Runs `f` on the elements of `dst`, to write, and of `src`, to read. Both must satisfy
/// [`has_slice`]; candle refuses them if they share their storage.
pub(crate) fn with_slices(
    dst: &Tensor,
    src: &Tensor,
    f: impl FnOnce(&mut [f32], &[f32]) -> Result<()>,
) -> Result<()> {
    dst.inplace_op2(src, &Once(Cell::new(Some(f))))
}

/// An operation that hands the elements to a closure. candle calls it once, through `&self`.
struct Once<F>(Cell<Option<F>>);

impl<F: FnOnce(&mut [f32]) -> Result<()>> InplaceOp1 for Once<F> {
    fn name(&self) -> &'static str {
        "update in place"
    }

    fn cpu_fwd(&self, dst: &mut CpuStorage, layout: &Layout) -> Result<()> {
        match self.0.take() {
            Some(f) => f(slice_mut(dst, layout)?),
            None => bail!("an in-place update ran twice"),
        }
    }
}

impl<F: FnOnce(&mut [f32], &[f32]) -> Result<()>> InplaceOp2 for Once<F> {
    fn name(&self) -> &'static str {
        "update in place"
    }

    fn cpu_fwd(&self, dst: &mut CpuStorage, dst_l: &Layout, src: &CpuStorage, src_l: &Layout) -> Result<()> {
        match self.0.take() {
            Some(f) => f(slice_mut(dst, dst_l)?, slice(src, src_l)?),
            None => bail!("an in-place update ran twice"),
        }
    }
}

/// The elements of a contiguous `f32` tensor.
pub(crate) fn slice<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    match (storage, layout.contiguous_offsets()) {
        (CpuStorage::F32(values), Some((start, end))) => Ok(&values[start..end]),
        _ => bail!("an in-place update needs contiguous f32 tensors; call `.contiguous()`"),
    }
}

fn slice_mut<'a>(storage: &'a mut CpuStorage, layout: &Layout) -> Result<&'a mut [f32]> {
    match (storage, layout.contiguous_offsets()) {
        (CpuStorage::F32(values), Some((start, end))) => Ok(&mut values[start..end]),
        _ => bail!("an in-place update needs contiguous f32 tensors; call `.contiguous()`"),
    }
}
