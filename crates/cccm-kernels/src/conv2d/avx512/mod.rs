//! Kernels for AVX-512: 3x3 convolution with stride 1 and padding 1 straight from padded images, and a matrix product
//! that sums along the rows of both factors.

#![expect(unsafe_code, reason = "vector loads and stores take raw pointers")]

mod forward;
mod grad_weight;
mod pixels;
mod row_products;
mod sum_lanes;

pub(super) use forward::Forward;
pub(super) use grad_weight::grad_weight;
pub(super) use row_products::{MIN_ROW_LEN, add_row_products};

use super::geometry::Geometry;

/// Taps of a 3x3 kernel.
const TAPS: usize = 9;

/// From this many channels on both sides and below this many pixels, a matrix product is faster.
const GEMM_CHANNELS: usize = 128;
const GEMM_PIXELS: usize = 1024;

/// Whether this module can compute a convolution, and does so in less time than [`im2col`](super::im2col).
pub(super) fn is_faster(g: &Geometry) -> bool {
    let is_same_3x3 = (g.k, g.stride, g.padding) == (3, 1, 1);
    is_same_3x3 && (g.in_pixels() >= GEMM_PIXELS || g.c_in.min(g.c_out) < GEMM_CHANNELS)
}
