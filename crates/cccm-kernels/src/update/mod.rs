//! All variables of an optimizer at once, on an NVIDIA GPU: a launch for each of hundreds of variables would take longer
//! than their arithmetic.

#[cfg(feature = "cuda")]
mod cuda;
mod gpu;
#[cfg(test)]
mod gpu_tests;

#[cfg(feature = "cuda")]
pub use cuda::{can_update_at_once, squared_norm_at_once, update_at_once};

#[cfg(feature = "cuda")]
use candle_core::Tensor;

/// A variable with what an update reads and writes of it: contiguous `f32` tensors of one shape, on one GPU, none of which
/// shares memory with another.
#[cfg(feature = "cuda")]
#[derive(Clone, Copy, Debug)]
pub struct Updated<'a> {
    /// The variable; written.
    pub value: &'a Tensor,
    /// Running mean of its gradient; written.
    pub m: &'a Tensor,
    /// Running mean of its squared gradient; written.
    pub v: &'a Tensor,
    /// Its moving average, if it has one; written.
    pub average: Option<&'a Tensor>,
    /// Its gradient.
    pub grad: &'a Tensor,
}

/// The numbers of an update, the same for every element:
///
/// ```text
/// g       = grad_scale * grad
/// m       = beta1 * m + rest1 * g
/// v       = beta2 * v + rest2 * g²
/// value   = keep * value - step_size * m / (sqrt(v) * root_correction + eps)
/// average = decay * average + rest * value
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct UpdateRule {
    /// Factor on gradients.
    pub grad_scale: f32,
    /// Decay of the mean gradient.
    pub beta1: f32,
    /// `1 - beta1`, rounded once.
    pub rest1: f32,
    /// Decay of the mean squared gradient.
    pub beta2: f32,
    /// `1 - beta2`, rounded once.
    pub rest2: f32,
    /// Added to the root.
    pub eps: f32,
    /// What weight decay leaves of a variable.
    pub keep: f32,
    /// Learning rate over the mean gradient's bias correction.
    pub step_size: f32,
    /// One over the root of the mean squared gradient's bias correction.
    pub root_correction: f32,
    /// Decay of the moving average.
    pub decay: f32,
    /// `1 - decay`, rounded once.
    pub rest: f32,
}
