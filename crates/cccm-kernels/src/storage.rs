//! Tensors as slices.

use std::ops::Deref;

use candle_core::{CpuStorage, Layout, Result, Storage, Tensor, bail};

/// The elements of a contiguous `f32` tensor on the CPU.
pub(crate) fn as_f32<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(&storage.as_slice::<f32>()?[start..end]),
        None => {
            bail!("expected a contiguous tensor, got strides {:?}; call `.contiguous()`", layout.stride())
        }
    }
}

/// A tensor's storage, locked for reading.
pub(crate) struct ReadGuard<'a, S> {
    storage: S,
    layout: &'a Layout,
}

/// Locks a tensor's storage.
pub(crate) fn read(tensor: &Tensor) -> ReadGuard<'_, impl Deref<Target = Storage>> {
    let (storage, layout) = tensor.storage_and_layout();
    ReadGuard { storage, layout }
}

impl<S: Deref<Target = Storage>> ReadGuard<'_, S> {
    /// See [`as_f32`].
    pub(crate) fn as_f32(&self) -> Result<&[f32]> {
        match &*self.storage {
            Storage::Cpu(storage) => as_f32(storage, self.layout),
            _ => bail!("expected a tensor on the CPU"),
        }
    }
}
