//! What a loader gives.

use candle_core::Tensor;

/// Images and their labels, on the CPU: a batch, or the part of it that [`Shard`](crate::Shard) names.
#[derive(Clone, Debug)]
pub struct Batch {
    /// `(batch, 3, image_px, image_px)`, `f32`, RGB in `[-1, 1]`.
    pub x_0: Tensor,
    /// Per label kind of the vocabulary `(batch,)`, `u32`, indices.
    pub labels: Vec<Tensor>,
    /// Place of the first image in the whole batch, counted from 0.
    pub start: usize,
    /// Images of the whole batch.
    pub total: usize,
    /// The epoch, counted from 0.
    pub epoch: usize,
    /// Place of the batch in its epoch, counted from 0.
    pub index_in_epoch: usize,
}
