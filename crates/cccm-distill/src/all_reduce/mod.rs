//! Sums over the workers that train one model together.

mod link;
mod star;

use candle_core::Tensor;

use crate::BoxError;

pub use link::{Channel, Link, Pipe};
pub use star::Star;

/// Sums over the workers that train one model together; see [`Trainer::join`](crate::Trainer::join).
///
/// Each worker has the whole model and its part of every batch. All workers make the same calls in the same
/// order.
pub trait AllReduce {
    /// The number of this worker, in `0..workers`.
    fn rank(&self) -> usize;

    /// How many there are, at least 1.
    fn workers(&self) -> usize;

    /// Each of the tensors (`f32`, any shape) summed over all workers, with the same bits for every worker.
    /// Waits until all workers have called it. On a device that computes asynchronously, the sums may be
    /// unfinished on return.
    ///
    /// # Errors
    /// When a worker is gone, or has other tensors.
    fn sum(&self, tensors: &[Tensor]) -> Result<Vec<Tensor>, BoxError>;
}

/// The only worker.
#[derive(Clone, Copy, Debug)]
pub struct Alone;

impl AllReduce for Alone {
    fn rank(&self) -> usize {
        0
    }

    fn workers(&self) -> usize {
        1
    }

    fn sum(&self, tensors: &[Tensor]) -> Result<Vec<Tensor>, BoxError> {
        Ok(tensors.to_vec())
    }
}
