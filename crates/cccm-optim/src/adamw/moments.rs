//! What AdamW remembers.

use candle_core::Tensor;

use crate::Result;

/// What AdamW remembers of a parameter: two tensors with its shape and dtype.
#[derive(Clone, Debug)]
pub struct Moments {
    /// Running mean of the gradient.
    pub m: Tensor,
    /// Running mean of the squared gradient, element by element.
    pub v: Tensor,
}

impl Moments {
    pub(super) fn zeros_like(param: &Tensor) -> Result<Self> {
        Ok(Self { m: param.zeros_like()?, v: param.zeros_like()? })
    }

    /// A copy that no later step changes.
    pub(super) fn copy(&self) -> Result<Self> {
        Ok(Self { m: self.m.force_contiguous()?, v: self.v.force_contiguous()? })
    }
}
