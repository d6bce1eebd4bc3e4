//! The same in candle's own operations: for other devices and `f64`, and to test against.

use candle_core::{Result, Tensor};

use super::sizes::Sizes;

pub(super) fn group_norm_silu(
    sizes: &Sizes,
    eps: f64,
    x: &Tensor,
    weight: &Tensor,
    bias: &Tensor,
) -> Result<Tensor> {
    let per_channel = |t: &Tensor| t.reshape((1, sizes.channels, 1, 1));
    let group_len = sizes.group_len() as f64;

    let grouped = x.reshape((sizes.batch, sizes.groups, sizes.group_len()))?;
    let mean = (grouped.sum_keepdim(2)? / group_len)?;
    let centered = grouped.broadcast_sub(&mean)?;
    let variance = (centered.sqr()?.sum_keepdim(2)? / group_len)?;
    let normed = centered.broadcast_div(&(variance + eps)?.sqrt()?)?.reshape(x.shape())?;
    let z = normed.broadcast_mul(&per_channel(weight)?)?.broadcast_add(&per_channel(bias)?)?;
    z.silu()
}
