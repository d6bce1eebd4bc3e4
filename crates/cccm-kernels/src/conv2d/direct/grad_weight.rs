//! Gradient of the weights: the 9 taps of one input channel times 3 output channels stay in registers over many
//! pixels.

use std::arch::x86_64::{_mm512_fmadd_ps, _mm512_loadu_ps, _mm512_reduce_add_ps, _mm512_setzero_ps};

use rayon::prelude::*;

use super::super::geometry::Geometry;
use super::super::pixels::{LANES, PaddedPlane, PixelVector};
use super::TAPS;
use crate::isa::Avx512;
use crate::scratch::with_scratch;

/// Output channels of a block: 27 of the 32 registers are sums.
const CHANNELS: usize = 3;
/// Pixels between two visits of a block, so that the output gradients of 3 channels stay in the first-level cache.
const PIXELS: usize = 2048;

/// Rows `first..first + h` of one sample.
#[derive(Clone, Copy)]
struct Band {
    sample: usize,
    first: usize,
}

/// Gradient of the weights of a [same 3x3](Geometry::is_same_3x3) convolution, added to `dw`.
pub(in super::super) fn grad_weight(cpu: Avx512, g: &Geometry, x: &[f32], dy: &[f32], dw: &mut [f32]) {
    // `dw` as `(c_out / 3, c_in, 3 * 9)`: what a block adds to lies together, and any cut makes tasks.
    let mut blocks = vec![0.0; g.c_out.next_multiple_of(CHANNELS) * g.c_in * TAPS];
    let rows = g.h.min((PIXELS / g.w).max(1));
    // Bands of equal height share a layout; what is left at the bottom has its own.
    for (rows, first) in [(rows, 0), (g.h % rows, g.h - g.h % rows)] {
        if rows == 0 {
            continue;
        }
        let last = if first == 0 { g.h / rows * rows } else { g.h };
        let bands: Vec<_> = (0..g.batch)
            .flat_map(|sample| (first..last).step_by(rows).map(move |first| Band { sample, first }))
            .collect();
        let plane = PaddedPlane::new(rows, g.w);
        for bands in bands.chunks((PIXELS / (rows * g.w)).max(1)) {
            add_bands(cpu, g, plane, bands, x, dy, &mut blocks);
        }
    }
    unpack(g, &blocks, dw);
}

/// `(c_out / 3, c_in, 3, 9)` to `(c_out, c_in, 9)`.
fn unpack(g: &Geometry, blocks: &[f32], dw: &mut [f32]) {
    for (o, filter) in dw.chunks_exact_mut(g.c_in * TAPS).enumerate() {
        for (i, taps) in filter.chunks_exact_mut(TAPS).enumerate() {
            let block = o / CHANNELS * g.c_in + i;
            let from = &blocks[(block * CHANNELS + o % CHANNELS) * TAPS..][..TAPS];
            taps.iter_mut().zip(from).for_each(|(to, from)| *to += from);
        }
    }
}

/// Adds the part of `bands` to `blocks`.
fn add_bands(
    cpu: Avx512,
    g: &Geometry,
    plane: PaddedPlane,
    bands: &[Band],
    x: &[f32],
    dy: &[f32],
    blocks: &mut [f32],
) {
    let vectors = plane.vectors();
    let len = vectors.len() * LANES;
    with_scratch(bands.len() * g.c_in * plane.stride, |padded| {
        let planes = padded.par_chunks_exact_mut(plane.stride).enumerate().with_min_len(16);
        planes.for_each(|(i, padded)| {
            let (band, channel) = (bands[i / g.c_in], i % g.c_in);
            let image = &x[(band.sample * g.c_in + channel) * g.in_pixels()..][..g.in_pixels()];
            plane.fill(image, band.first, padded);
        });
        with_scratch(bands.len() * g.c_out * len, |spread| {
            let planes = spread.par_chunks_exact_mut(len).enumerate().with_min_len(16);
            planes.for_each(|(i, spread)| {
                let (band, channel) = (bands[i / g.c_out], i % g.c_out);
                let image = &dy[(band.sample * g.c_out + channel) * g.in_pixels()..][..g.in_pixels()];
                spread_pixels(&vectors, &image[band.first * g.w..], spread);
            });
            // Some more tasks than threads, so that none waits long for the last one.
            let pairs = blocks.len() / (CHANNELS * TAPS);
            let per_task = pairs.div_ceil(4 * rayon::current_num_threads());
            blocks.par_chunks_mut(per_task * CHANNELS * TAPS).enumerate().for_each(|(task, blocks)| {
                for (i, block) in blocks.as_chunks_mut::<{ CHANNELS * TAPS }>().0.iter_mut().enumerate() {
                    let part = Part { g, plane, vectors: &vectors, padded, spread };
                    add_pair(cpu, &part, task * per_task + i, block);
                }
            });
        });
    });
}

/// One float per lane: a pixel's value, or 0 where the lane is none.
fn spread_pixels(vectors: &[PixelVector], pixels: &[f32], spread: &mut [f32]) {
    for (vector, lanes) in vectors.iter().zip(spread.as_chunks_mut::<LANES>().0) {
        if vector.mask == u16::MAX {
            lanes.copy_from_slice(&pixels[vector.first..][..LANES]);
            continue;
        }
        let mut pixels = pixels[vector.first..].iter();
        for (lane, to) in lanes.iter_mut().enumerate() {
            let is_pixel = vector.mask >> lane & 1 == 1;
            *to = if is_pixel { pixels.next().copied().unwrap_or(0.0) } else { 0.0 };
        }
    }
}

/// Some bands of some samples: `padded (bands, c_in, plane.stride)`, `spread (bands, c_out, vectors * 16)`.
struct Part<'a> {
    g: &'a Geometry,
    plane: PaddedPlane,
    vectors: &'a [PixelVector],
    padded: &'a [f32],
    spread: &'a [f32],
}

/// Adds to `block (3, 9)`, the `pair`-th one of `(c_out / 3, c_in)`.
fn add_pair(_: Avx512, part: &Part<'_>, pair: usize, block: &mut [f32; CHANNELS * TAPS]) {
    let (o, i) = (pair / part.g.c_in * CHANNELS, pair % part.g.c_in);
    // SAFETY: the first argument proves that the CPU has AVX-512F.
    unsafe { add_block(part, o, i, block) }
}

/// Adds to `block (3, 9)`: output channels from `o` on, input channel `i`.
#[target_feature(enable = "avx512f")]
fn add_block(part: &Part<'_>, o: usize, i: usize, block: &mut [f32; CHANNELS * TAPS]) {
    let Part { g, plane, vectors, padded, spread } = *part;
    assert!(vectors.iter().all(|vector| vector.source + plane.reach() <= plane.stride));
    let len = vectors.len() * LANES;
    // A block that is not full repeats its first channel, whose sums are then dropped by `unpack`.
    let channel = |m: usize| if o + m < g.c_out { o + m } else { o };

    let mut sums = [[_mm512_setzero_ps(); TAPS]; CHANNELS];
    let bands = padded.chunks_exact(g.c_in * plane.stride).zip(spread.chunks_exact(g.c_out * len));
    for (padded, spread) in bands {
        let padded = &padded[i * plane.stride..][..plane.stride];
        let spread: [&[f32]; CHANNELS] = std::array::from_fn(|m| &spread[channel(m) * len..][..len]);
        for (v, vector) in vectors.iter().enumerate() {
            let mut dy = [_mm512_setzero_ps(); CHANNELS];
            for (dy, spread) in dy.iter_mut().zip(&spread) {
                // SAFETY: `spread` holds 16 floats for each vector.
                *dy = unsafe { _mm512_loadu_ps(spread.as_ptr().add(v * LANES)) };
            }
            for tap in 0..TAPS {
                let shift = tap / 3 * plane.width() + tap % 3;
                // SAFETY: `shift` and the lanes are within `reach` of `source`, and the assert above keeps that within
                // `stride`, the length of `padded`.
                let x = unsafe { _mm512_loadu_ps(padded.as_ptr().add(vector.source + shift)) };
                for (sums, dy) in sums.iter_mut().zip(&dy) {
                    sums[tap] = _mm512_fmadd_ps(x, *dy, sums[tap]);
                }
            }
        }
    }
    for (sum, to) in sums.as_flattened().iter().zip(block) {
        *to += _mm512_reduce_add_ps(*sum);
    }
}
