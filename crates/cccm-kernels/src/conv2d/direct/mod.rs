//! 3 × 3 convolution with stride 1 and padding 1 straight from padded images, for AVX-512: a block of 8 output channels
//! times up to 3 vectors of pixels stays in registers over many input channels.

#![expect(unsafe_code, reason = "vector loads and stores take raw pointers")]

mod pixels;

use std::arch::x86_64::{
    __m512, _mm512_add_ps, _mm512_fmadd_ps, _mm512_loadu_ps, _mm512_mask_storeu_ps, _mm512_maskz_compress_ps,
    _mm512_maskz_loadu_ps, _mm512_set1_ps, _mm512_setzero_ps,
};

use rayon::prelude::*;

use super::geometry::Geometry;
use crate::buffer::par_chunks;
use crate::isa::Avx512;
use crate::scratch::with_scratch;
use pixels::{PaddedPlane, PixelVector};

/// Taps of a 3x3 kernel.
const TAPS: usize = 9;

/// Output channels of a block.
const CHANNELS: usize = 8;
/// Vectors of pixels of a block: 24 of the 32 registers are sums.
const VECTORS: usize = 3;
/// Input channels between two visits of a block, so that their pixels stay in the first-level cache from one block of
/// output channels to the next.
const DEPTH: usize = 32;

/// A 3x3 convolution with stride 1 and padding 1, and its weights.
pub(super) struct Direct {
    cpu: Avx512,
    plane: PaddedPlane,
    vectors: Vec<PixelVector>,
    c_in: usize,
    /// See [`pack`].
    weight: Vec<f32>,
    /// Output channels of a task.
    channels: usize,
}

impl Direct {
    /// - `weight`: `(c_out, c_in, 3, 3)`
    pub(super) fn new(cpu: Avx512, g: &Geometry, weight: &[f32]) -> Self {
        let plane = PaddedPlane::new(g.h, g.w);
        // Some more tasks than threads, so that none waits long for the last one.
        let tasks = (3 * rayon::current_num_threads()).div_ceil(g.batch.max(1));
        Self {
            cpu,
            plane,
            vectors: plane.vectors(),
            c_in: g.c_in,
            weight: pack(g, weight),
            channels: g.c_out.div_ceil(tasks).next_multiple_of(CHANNELS),
        }
    }

    /// `out += x * weight` for one sample.
    pub(super) fn add_sample(&self, x: &[f32], out: &mut [f32]) {
        let pixels = self.plane.pixels();
        with_scratch(self.c_in * self.plane.stride, |padded| {
            let planes = padded.par_chunks_exact_mut(self.plane.stride).zip(x.par_chunks_exact(pixels));
            planes.with_min_len(16).for_each(|(padded, x)| self.plane.fill(x, padded));
            let tasks = out.par_chunks_mut(self.channels * pixels);
            let weight = self.weight.par_chunks(self.channels * self.c_in * TAPS);
            tasks.zip(weight).for_each(|(out, weight)| {
                add_channels_on(self.cpu, self.plane, &self.vectors, padded, weight, out);
            });
        });
    }
}

/// Weights in the order of their use: `(c_out / 8, c_in, 9, 8)`, with zeros for the channels that fill up the last
/// block.
fn pack(g: &Geometry, weight: &[f32]) -> Vec<f32> {
    let filter = g.c_in * TAPS;
    let len = g.c_out.next_multiple_of(CHANNELS) * filter;
    let (packed, _) = par_chunks(len, CHANNELS * filter, |block, packed| {
        for i in 0..filter {
            let channels = block * CHANNELS..(block + 1) * CHANNELS;
            packed.extend(channels.map(|o| if o < g.c_out { weight[o * filter + i] } else { 0.0 }));
        }
    });
    packed
}

/// `out` holds some whole output channels of one sample, `weight` their packed blocks, `padded` all input channels.
fn add_channels_on(
    _: Avx512,
    plane: PaddedPlane,
    vectors: &[PixelVector],
    padded: &[f32],
    weight: &[f32],
    out: &mut [f32],
) {
    // SAFETY: the first argument proves that the CPU has AVX-512F.
    unsafe { add_channels(plane, vectors, padded, weight, out) }
}

#[target_feature(enable = "avx512f")]
fn add_channels(
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
                    [] => {}
                    [a] => tile(plane, [a], padded, weight, out),
                    [a, b] => tile(plane, [a, b], padded, weight, out),
                    [a, b, c, ..] => tile(plane, [a, b, c], padded, weight, out),
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
    assert!(vectors.iter().all(|vector| plane.holds(*vector)), "a vector leaves its plane");
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
