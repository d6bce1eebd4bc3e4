//! The same in candle's own operations: for other dtypes and devices, and to test against.

use candle_core::{DType, Result, Tensor};

use super::Sizes;

pub(super) fn group_norm_silu(
    sizes: &Sizes,
    eps: f64,
    x: &Tensor,
    weight: &Tensor,
    bias: &Tensor,
) -> Result<Tensor> {
    // Norms accumulate in f32 at least.
    let dtype = match x.dtype() {
        DType::F16 | DType::BF16 => DType::F32,
        dtype => dtype,
    };
    let per_channel = |t: &Tensor| t.to_dtype(dtype)?.reshape((1, sizes.channels, 1, 1));
    let group_len = sizes.group_len() as f64;

    let grouped = x.to_dtype(dtype)?.reshape((sizes.batch, sizes.groups, sizes.group_len()))?;
    let mean = (grouped.sum_keepdim(2)? / group_len)?;
    let centered = grouped.broadcast_sub(&mean)?;
    let variance = (centered.sqr()?.sum_keepdim(2)? / group_len)?;
    let normed = centered.broadcast_div(&(variance + eps)?.sqrt()?)?.reshape(x.shape())?;
    let z = normed.broadcast_mul(&per_channel(weight)?)?.broadcast_add(&per_channel(bias)?)?;
    z.silu()?.to_dtype(x.dtype())
}
