//! 3x3 convolution with stride 1 and padding 1 straight from padded images, for AVX-512.

#![expect(unsafe_code, reason = "vector loads and stores take raw pointers")]

mod forward;
mod grad_weight;

pub(super) use forward::forward;
pub(super) use grad_weight::grad_weight;

/// Taps of a 3x3 kernel.
const TAPS: usize = 9;
