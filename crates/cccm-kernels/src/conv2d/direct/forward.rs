//! Forward: a block of 8 output channels times up to 3 vectors of pixels stays in registers over many input channels.

use std::arch::x86_64::{
    __m512, _mm512_add_ps, _mm512_fmadd_ps, _mm512_loadu_ps, _mm512_mask_storeu_ps, _mm512_maskz_compress_ps,
    _mm512_maskz_loadu_ps, _mm512_set1_ps, _mm512_setzero_ps,
};

use rayon::prelude::*;

use super::super::geometry::Geometry;
use super::super::pixels::{PaddedPlane, PixelVector};
use super::TAPS;
use crate::isa::Avx512;
use crate::scratch::with_scratch;

/// Output channels of a block.
const CHANNELS: usize = 8;
/// Vectors of pixels of a block: 24 of the 32 registers are sums.
const VECTORS: usize = 3;
/// Input channels between two visits of a block, so that their pixels stay in the first-level cache from one block of
/// output channels to the next.
const DEPTH: usize = 32;

/// `out += x * weight` for a [same 3x3](Geometry::is_same_3x3) convolution.
pub(in super::super) fn forward(cpu: Avx512, g: &Geometry, x: &[f32], weight: &[f32], out: &mut [f32]) {
    let plane = PaddedPlane::new(g.h, g.w);
    let vectors = plane.vectors();
    let weight = pack(g, weight);
    let pixels = g.in_pixels();
    // Some more tasks than threads, so that none waits long for the last one.
    let tasks = (3 * rayon::current_num_threads()).div_ceil(g.batch.max(1));
    let channels = g.c_out.div_ceil(tasks).next_multiple_of(CHANNELS);

    let samples = out.par_chunks_exact_mut(g.c_out * pixels).zip(x.par_chunks_exact(g.c_in * pixels));
    samples.for_each(|(out, x)| {
        with_scratch(g.c_in * plane.stride, |padded| {
            let planes = padded.par_chunks_exact_mut(plane.stride).zip(x.par_chunks_exact(pixels));
            planes.with_min_len(16).for_each(|(padded, x)| plane.fill(x, 0, padded));
            let tasks = out.par_chunks_mut(channels * pixels);
            let weight = weight.par_chunks(channels * g.c_in * TAPS);
            tasks.zip(weight).for_each(|(out, weight)| {
                forward_task(cpu, plane, &vectors, padded, weight, out);
            });
        });
    });
}

/// Weights in the order of their use: `(c_out / 8, c_in, 9, 8)`, with zeros for the channels that fill up the last
/// block.
fn pack(g: &Geometry, weight: &[f32]) -> Vec<f32> {
    let filter = g.c_in * TAPS;
    let mut packed = vec![0.0; g.c_out.next_multiple_of(CHANNELS) * filter];
    let blocks = packed.par_chunks_exact_mut(CHANNELS * filter).zip(weight.par_chunks(CHANNELS * filter));
    blocks.for_each(|(packed, weight)| {
        for (o, filter) in weight.chunks_exact(filter).enumerate() {
            packed.iter_mut().skip(o).step_by(CHANNELS).zip(filter).for_each(|(to, from)| *to = *from);
        }
    });
    packed
}

/// `out` holds some whole output channels of one sample, `weight` their packed blocks, `padded` all input channels.
fn forward_task(
    _: Avx512,
    plane: PaddedPlane,
    vectors: &[PixelVector],
    padded: &[f32],
    weight: &[f32],
    out: &mut [f32],
) {
    // SAFETY: the first argument proves that the CPU has AVX-512F.
    unsafe { forward_channels(plane, vectors, padded, weight, out) }
}

#[target_feature(enable = "avx512f")]
fn forward_channels(
    plane: PaddedPlane,
    vectors: &[PixelVector],
    padded: &[f32],
    weight: &[f32],
    out: &mut [f32],
) {
    let pixels = plane.pixels();
    let block = padded.len() / plane.stride * TAPS * CHANNELS;
    for (depth, padded) in padded.chunks(DEPTH * plane.stride).enumerate() {
        let first = depth * DEPTH * TAPS * CHANNELS;
        let len = padded.len() / plane.stride * TAPS * CHANNELS;
        for vectors in vectors.chunks(VECTORS) {
            for (out, weight) in out.chunks_mut(CHANNELS * pixels).zip(weight.chunks_exact(block)) {
                let weight = &weight[first..first + len];
                match *vectors {
                    [a] => tile(plane, [a], padded, weight, out),
                    [a, b] => tile(plane, [a, b], padded, weight, out),
                    [a, b, c] => tile(plane, [a, b, c], padded, weight, out),
                    _ => unreachable!("chunks of {VECTORS}"),
                }
            }
        }
    }
}

/// Adds some input channels' part to 8 output channels of `V` vectors.
#[target_feature(enable = "avx512f")]
fn tile<const V: usize>(
    plane: PaddedPlane,
    vectors: [PixelVector; V],
    padded: &[f32],
    weight: &[f32],
    out: &mut [f32],
) {
    assert!(vectors.iter().all(|vector| vector.source + plane.reach() <= plane.stride));
    let mut sums = [[_mm512_setzero_ps(); V]; CHANNELS];
    for (padded, weight) in padded.chunks_exact(plane.stride).zip(weight.as_chunks::<{ TAPS * CHANNELS }>().0)
    {
        for (tap, weight) in weight.as_chunks::<CHANNELS>().0.iter().enumerate() {
            let shift = tap / 3 * plane.width() + tap % 3;
            let mut x = [_mm512_setzero_ps(); V];
            for (x, vector) in x.iter_mut().zip(&vectors) {
                // SAFETY: `shift` and a vector's lanes are within `reach` of `source`, and the assert above keeps that
                // within `stride`, the length of `padded`.
                *x = unsafe { _mm512_loadu_ps(padded.as_ptr().add(vector.source + shift)) };
            }
            for (sums, weight) in sums.iter_mut().zip(weight) {
                let weight = _mm512_set1_ps(*weight);
                for (sum, x) in sums.iter_mut().zip(&x) {
                    *sum = _mm512_fmadd_ps(weight, *x, *sum);
                }
            }
        }
    }
    for (out, sums) in out.chunks_exact_mut(plane.pixels()).zip(sums) {
        for (sum, vector) in sums.into_iter().zip(&vectors) {
            add_pixels(&mut out[vector.first..][..vector.len()], *vector, sum);
        }
    }
}

/// Adds those lanes of `sum` that are pixels to `out`, which holds as many.
#[target_feature(enable = "avx512f")]
fn add_pixels(out: &mut [f32], vector: PixelVector, sum: __m512) {
    assert_eq!(out.len(), vector.len());
    let stored = ((1_u32 << out.len()) - 1) as u16;
    let sum = _mm512_maskz_compress_ps(vector.mask, sum);
    // SAFETY: `stored` has `out.len()` bits set from the lowest on, and lanes that are masked out are not accessed.
    unsafe {
        let before = _mm512_maskz_loadu_ps(stored, out.as_ptr());
        _mm512_mask_storeu_ps(out.as_mut_ptr(), stored, _mm512_add_ps(before, sum));
    }
}
