//! Gradient of the weights: the 9 taps of one input channel times 3 output channels stay in registers over many
//! pixels.

use std::arch::x86_64::{_mm512_fmadd_ps, _mm512_loadu_ps, _mm512_setzero_ps};

use rayon::prelude::*;

use super::TAPS;
use super::pixels::{LANES, PaddedPlane};
use super::sum_lanes::add_sums;
use crate::buffer::par_chunks;
use crate::conv2d::bands::{self, Band};
use crate::conv2d::geometry::Geometry;
use crate::isa::Avx512;
use crate::scratch::with_scratch;

/// Output channels of a block: 27 of the 32 registers are sums.
const CHANNELS: usize = 3;
/// Floats that a block's sums take: 27, filled up to whole vectors.
const BLOCK: usize = 2 * LANES;
/// Pixels between two visits of a block, so that the output gradients of 3 channels stay in the first-level cache.
const PIXELS: usize = 2048;
/// Planes that are worth a task of their own.
const PLANES_PER_TASK: usize = 16;

/// Gradient of the weights of a 3x3 convolution with stride 1 and padding 1.
pub(in crate::conv2d) fn grad_weight(cpu: Avx512, g: &Geometry, x: &[f32], dy: &[f32]) -> Vec<f32> {
    // `(c_out / 3, c_in)` blocks of `(3, 9)`: what a task adds to lies together.
    let mut sums = vec![0.0; g.c_out.div_ceil(CHANNELS) * g.c_in * BLOCK];
    for bands in bands::groups(g, PIXELS) {
        let plane = PaddedPlane::new(bands[0].rows.len(), g.w);
        let padded_len = bands.len() * plane.stride;
        let spread_len = bands.len() * plane.vectors().len() * LANES;
        with_scratch(g.c_in * padded_len, |padded| {
            pad(g, plane, &bands, x, padded);
            with_scratch(g.c_out * spread_len, |spread| {
                spread_out(g, plane, &bands, dy, spread);
                let part = Part {
                    plane,
                    offsets: offsets(plane, bands.len()),
                    padded,
                    padded_len,
                    spread,
                    spread_len,
                };
                add_part(cpu, g, &part, &mut sums);
            });
        });
    }
    let (dw, _) = par_chunks(g.c_out * g.c_in * TAPS, g.c_in * TAPS, |o, filter| {
        let blocks = sums.chunks_exact(BLOCK).skip(o / CHANNELS * g.c_in).take(g.c_in);
        for block in blocks {
            filter.extend(block.iter().skip(o % CHANNELS * TAPS).take(TAPS).copied());
        }
    });
    dw
}

/// Offsets of the vectors of `bands` planes one after the other.
fn offsets(plane: PaddedPlane, bands: usize) -> Vec<usize> {
    let vectors = plane.vectors();
    (0..bands)
        .flat_map(|band| vectors.iter().map(move |vector| band * plane.stride + vector.source))
        .collect()
}

/// Writes the padded inputs of the bands, `(c_in, bands, plane.stride)`.
fn pad(g: &Geometry, plane: PaddedPlane, bands: &[Band], x: &[f32], padded: &mut [f32]) {
    let planes = padded.par_chunks_exact_mut(plane.stride).enumerate().with_min_len(PLANES_PER_TASK);
    planes.for_each(|(i, padded)| {
        let (channel, band) = (i / bands.len(), &bands[i % bands.len()]);
        let image = &x[(band.sample * g.c_in + channel) * g.in_pixels()..][..g.in_pixels()];
        plane.fill(image, band.rows.start, padded);
    });
}

/// Writes the bands' output gradients, `(c_out, bands, vectors, 16)`, with zeros in the lanes that are not pixels.
fn spread_out(g: &Geometry, plane: PaddedPlane, bands: &[Band], dy: &[f32], spread: &mut [f32]) {
    let len = spread.len() / (g.c_out * bands.len());
    let planes = spread.par_chunks_exact_mut(len).enumerate().with_min_len(PLANES_PER_TASK);
    planes.for_each(|(i, spread)| {
        let (channel, band) = (i / bands.len(), &bands[i % bands.len()]);
        let image = &dy[(band.sample * g.c_out + channel) * g.in_pixels()..][..g.in_pixels()];
        plane.spread(&image[band.rows.start * g.w..band.rows.end * g.w], spread);
    });
}

/// Some bands, laid out for the loop over their pixels.
struct Part<'a> {
    plane: PaddedPlane,
    /// Of every vector in a channel of `padded`.
    offsets: Vec<usize>,
    /// Inputs, `padded_len` for each channel.
    padded: &'a [f32],
    padded_len: usize,
    /// Output gradients, `spread_len` for each channel: 16 for each vector.
    spread: &'a [f32],
    spread_len: usize,
}

/// Adds a part to all sums.
fn add_part(cpu: Avx512, g: &Geometry, part: &Part<'_>, sums: &mut [f32]) {
    // Some more tasks than threads, so that none waits long for the last one.
    let blocks = sums.len() / BLOCK;
    let per_task = blocks.div_ceil(4 * rayon::current_num_threads());
    sums.par_chunks_mut(per_task * BLOCK).enumerate().for_each(|(task, sums)| {
        for (i, sums) in sums.as_chunks_mut::<BLOCK>().0.iter_mut().enumerate() {
            let block = task * per_task + i;
            let first = block / g.c_in * CHANNELS;
            // Where channels are missing, the first one stands in, and nobody reads the sums.
            let outputs = [0, 1, 2].map(|m| if first + m < g.c_out { first + m } else { first });
            add_block_on(cpu, part, outputs, block % g.c_in, sums);
        }
    });
}

fn add_block_on(
    _: Avx512,
    part: &Part<'_>,
    outputs: [usize; CHANNELS],
    input: usize,
    sums: &mut [f32; BLOCK],
) {
    // SAFETY: the first argument proves that the CPU has AVX-512F.
    unsafe { add_block(part, outputs, input, sums) }
}

/// Adds a part to the sums of some output channels and an input channel.
#[target_feature(enable = "avx512f")]
fn add_block(part: &Part<'_>, outputs: [usize; CHANNELS], input: usize, sums: &mut [f32; BLOCK]) {
    let padded = &part.padded[input * part.padded_len..][..part.padded_len];
    let spread = outputs.map(|output| &part.spread[output * part.spread_len..][..part.spread_len]);
    let reach = part.plane.reach();
    assert!(part.offsets.iter().all(|offset| offset + reach <= padded.len()));
    assert!(part.offsets.len() * LANES == part.spread_len);

    let mut lanes = [[_mm512_setzero_ps(); TAPS]; CHANNELS];
    for (v, offset) in part.offsets.iter().enumerate() {
        let mut dy = [_mm512_setzero_ps(); CHANNELS];
        for (dy, spread) in dy.iter_mut().zip(&spread) {
            // SAFETY: `spread` holds 16 floats for each offset.
            *dy = unsafe { _mm512_loadu_ps(spread.as_ptr().add(v * LANES)) };
        }
        for tap in 0..TAPS {
            let shift = tap / 3 * part.plane.width() + tap % 3;
            // SAFETY: `shift` and 16 lanes are within `reach` of the offset, and the assert above keeps that within
            // `padded`.
            let x = unsafe { _mm512_loadu_ps(padded.as_ptr().add(offset + shift)) };
            for (lanes, dy) in lanes.iter_mut().zip(&dy) {
                lanes[tap] = _mm512_fmadd_ps(x, *dy, lanes[tap]);
            }
        }
    }
    add_sums(lanes, sums);
}
