//! Which algorithm computes which convolution.

use std::iter::repeat_n;

use rayon::prelude::*;

#[cfg(target_arch = "x86_64")]
use super::direct::Direct;
use super::geometry::Geometry;
use super::im2col;
use super::winograd::{self, Filters};
use crate::buffer::par_chunks;
use crate::gemm::Mat;
use crate::isa::Isa;

/// A forward pass with fewer input channels does not use [`winograd`], which would save less than a third of
/// its time. It would also have more rounding errors: 1.7 times those of plain sums for 32 channels, and less
/// than that for more.
const EXACT_BELOW: usize = 64;

/// `x * weight + bias`; `bias` holds `c_out` or `batch * c_out` values.
pub(super) fn forward(g: &Geometry, isa: Isa, x: &[f32], weight: &[f32], bias: Option<&[f32]>) -> Vec<f32> {
    if winograd::is_faster(g, isa) && g.c_in >= EXACT_BELOW {
        return winograd::forward(g, isa, Filters::new(weight, g.c_out, g.c_in), x, bias);
    }
    convolve(g, &Algorithm::new(g, isa, weight), x, bias)
}

/// Gradient of `x`. With [`winograd`] or a 1x1 kernel it is computed as a convolution of `dy` with the
/// transposed weights.
pub(super) fn grad_x(g: &Geometry, isa: Isa, weight: &[f32], dy: &[f32]) -> Vec<f32> {
    let exchanged = g.exchanged();
    if winograd::is_faster(&exchanged, isa) {
        return winograd::forward(
            &exchanged,
            isa,
            Filters::new(weight, g.c_out, g.c_in).transposed(),
            dy,
            None,
        );
    }
    if g.is_pointwise() {
        let weight = Mat::row_major(weight, [g.c_out, g.c_in]).transposed();
        return convolve(&exchanged, &Algorithm::Pointwise(weight), dy, None);
    }
    im2col::grad_x(g, weight, dy)
}

/// Gradient of `weight`.
pub(super) fn grad_weight(g: &Geometry, isa: Isa, x: &[f32], dy: &[f32]) -> Vec<f32> {
    if winograd::is_faster(g, isa) {
        return winograd::grad_weight(g, isa, x, dy);
    }
    im2col::grad_weight(g, isa, x, dy)
}

/// The ways to compute `out += x * weight` for one sample, with the weight in the order they want it.
enum Algorithm<'a> {
    /// 1x1: a matrix product with the image, `(c_out, c_in)`.
    Pointwise(Mat<'a>),
    #[cfg(target_arch = "x86_64")]
    Direct(Direct),
    /// Any: a matrix product with its columns, `(c_out, c_in * k * k)`.
    Im2col(Mat<'a>),
}

impl<'a> Algorithm<'a> {
    #[cfg_attr(not(target_arch = "x86_64"), expect(unused_variables, reason = "only x86 has a choice"))]
    fn new(g: &Geometry, isa: Isa, weight: &'a [f32]) -> Self {
        let matrix = Mat::row_major(weight, [g.c_out, g.c_in * g.taps()]);
        if g.is_pointwise() {
            return Self::Pointwise(matrix);
        }
        #[cfg(target_arch = "x86_64")]
        if let Isa::Avx512(cpu) = isa
            && g.is_same_3x3()
            && g.c_in < EXACT_BELOW
        {
            return Self::Direct(Direct::new(cpu, g, weight));
        }
        Self::Im2col(matrix)
    }
}

fn convolve(g: &Geometry, algorithm: &Algorithm<'_>, x: &[f32], bias: Option<&[f32]>) -> Vec<f32> {
    let (pixels, sample_len) = (g.out_pixels(), g.c_out * g.out_pixels());
    let (out, _) = par_chunks(g.batch * sample_len, sample_len, |sample, out| {
        for channel in 0..g.c_out {
            let bias = bias.map_or(0.0, |bias| bias[(sample * g.c_out + channel) % bias.len()]);
            out.extend(repeat_n(bias, pixels));
        }
        let out = out.written();
        let x = &x[sample * g.c_in * g.in_pixels()..][..g.c_in * g.in_pixels()];
        match algorithm {
            Algorithm::Pointwise(weight) => im2col::pointwise(g, *weight, x, out),
            #[cfg(target_arch = "x86_64")]
            Algorithm::Direct(direct) => direct.add_sample(x, out),
            Algorithm::Im2col(weight) => im2col::forward(g, *weight, x, out),
        }
    });
    out
}

/// The sum of every plane of `pixels` values.
pub(super) fn plane_sums(pixels: usize, planes: &[f32]) -> Vec<f32> {
    // Independent partial sums: one running sum could not be vectorised, and would be less exact.
    const LANES: usize = 32;
    let sum = |plane: &[f32]| {
        let mut lanes = [0.0; LANES];
        let (vectors, rest) = plane.as_chunks::<LANES>();
        for vector in vectors {
            lanes.iter_mut().zip(vector).for_each(|(lane, v)| *lane += v);
        }
        lanes.iter().chain(rest).sum()
    };
    planes.par_chunks_exact(pixels).with_min_len(8).map(sum).collect()
}
