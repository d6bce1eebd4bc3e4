//! Sums over the workers that train one model together.

mod link;
mod star;

use candle_core::Tensor;

use crate::BoxError;

pub use link::{Channel, Link, Pipe};
pub use star::Star;

/// What several workers that train one model together know of each other: [`Trainer::join`](crate::Trainer::join).
///
/// Each has the whole model and its part of every batch. All of them make the same calls in the same order.
pub trait AllReduce {
    /// The number of this worker, in `0..workers`.
    fn rank(&self) -> usize;

    /// How many there are, at least 1.
    fn workers(&self) -> usize;

    /// Each of the tensors, `f32` and of any shape, summed over all workers; the same bits for every one of them. Waits
    /// until all have called it, and where the device works behind the program's back, the result may still be on its way.
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
