//! Which algorithm computes which convolution.

use rayon::prelude::*;

#[cfg(target_arch = "x86_64")]
use super::direct;
use super::geometry::Geometry;
use super::im2col;
use crate::gemm::Mat;
use crate::isa::Isa;

/// From this many channels on both sides and below this many pixels a matrix product is faster than the direct
/// 3x3 kernel.
const GEMM_CHANNELS: usize = 128;
const GEMM_PIXELS: usize = 1024;

fn direct_is_faster(g: &Geometry) -> bool {
    g.in_pixels() >= GEMM_PIXELS || g.c_in.min(g.c_out) < GEMM_CHANNELS
}

/// `out = x * weight + bias`; `bias` holds `c_out` or `batch * c_out` values.
pub(super) fn forward(
    g: &Geometry,
    isa: Isa,
    x: &[f32],
    weight: &[f32],
    bias: Option<&[f32]>,
    out: &mut [f32],
) {
    if let Some(bias) = bias {
        let planes = out.par_chunks_exact_mut(g.out_pixels()).enumerate().with_min_len(8);
        planes.for_each(|(i, plane)| plane.fill(bias[i % bias.len()]));
    }
    add_forward(g, isa, x, weight, out);
}

/// `out += x * weight`.
fn add_forward(g: &Geometry, isa: Isa, x: &[f32], weight: &[f32], out: &mut [f32]) {
    if g.is_pointwise() {
        return im2col::pointwise(g, Mat::row_major(weight, [g.c_out, g.c_in]), x, out);
    }
    #[cfg(target_arch = "x86_64")]
    if let Isa::Avx512(cpu) = isa
        && g.is_same_3x3()
        && direct_is_faster(g)
    {
        return direct::forward(cpu, g, x, weight, out);
    }
    im2col::forward(g, x, weight, out);
}

/// Gradient of `x`, added to `dx`.
pub(super) fn grad_x(g: &Geometry, isa: Isa, weight: &[f32], dy: &[f32], dx: &mut [f32]) {
    match g.adjoint() {
        Some(adjoint) if g.is_pointwise() => {
            let weight = Mat::row_major(weight, [g.c_out, g.c_in]);
            im2col::pointwise(&adjoint, weight.transposed(), dy, dx);
        }
        Some(adjoint) => add_forward(&adjoint, isa, dy, &flip(g, weight), dx),
        None => im2col::grad_x(g, weight, dy, dx),
    }
}

/// `(c_out, c_in, k, k)` to `(c_in, c_out, k, k)`, each tap matrix turned by 180 degrees.
fn flip(g: &Geometry, weight: &[f32]) -> Vec<f32> {
    let taps = g.taps();
    let mut flipped = vec![0.0; weight.len()];
    flipped.par_chunks_exact_mut(g.c_out * taps).enumerate().with_min_len(4).for_each(|(i, filter)| {
        for (o, to) in filter.chunks_exact_mut(taps).enumerate() {
            let from = &weight[(o * g.c_in + i) * taps..][..taps];
            to.iter_mut().zip(from.iter().rev()).for_each(|(to, from)| *to = *from);
        }
    });
    flipped
}

/// Gradient of `weight`, added to `dw`.
pub(super) fn grad_weight(g: &Geometry, isa: Isa, x: &[f32], dy: &[f32], dw: &mut [f32]) {
    #[cfg(target_arch = "x86_64")]
    if let Isa::Avx512(cpu) = isa
        && g.is_same_3x3()
        && direct_is_faster(g)
    {
        return direct::grad_weight(cpu, g, x, dy, dw);
    }
    im2col::grad_weight(g, x, dy, dw);
}

/// The sum of every plane of `pixels` values.
pub(super) fn plane_sums(pixels: usize, planes: &[f32], sums: &mut [f32]) {
    // Independent partial sums: one running sum could not be vectorised, and would be less exact.
    const LANES: usize = 32;
    let planes = planes.par_chunks_exact(pixels).with_min_len(8);
    sums.par_iter_mut().zip(planes).for_each(|(sum, plane)| {
        let mut lanes = [0.0; LANES];
        let chunks = plane.chunks_exact(LANES);
        let rest: f32 = chunks.remainder().iter().sum();
        for chunk in chunks {
            lanes.iter_mut().zip(chunk).for_each(|(lane, v)| *lane += v);
        }
        *sum = rest + lanes.iter().sum::<f32>();
    });
}
