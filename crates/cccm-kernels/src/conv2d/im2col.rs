//! Convolution as a matrix product: every output pixel becomes a column that holds the inputs it sees.

use std::iter::repeat_n;
use std::ops::Range;

use rayon::prelude::*;

use super::bands::{self, Band};
use super::geometry::Geometry;
#[cfg(target_arch = "x86_64")]
use super::row_products;
use crate::buffer::par_chunks;
use crate::gemm::{Mat, gemm_add};
use crate::isa::Isa;
use crate::scratch::with_scratch;

/// Floats of a column matrix: it should stay in the second-level cache.
const COLUMNS_LEN: usize = 192 * 1024;
/// Output pixels of a column matrix in forward: wide enough for the matrix product, few enough for many channels.
const FORWARD_WIDTH: usize = 512;
/// In the gradient of the weights, where the product sums over the pixels, and wider means fewer sums to add up.
const GRAD_WEIGHT_WIDTH: usize = 1024;

/// Floats of a cache line, and of the widest vector.
const CACHE_LINE: usize = 16;

/// Channels whose taps fit into a column matrix of `width` pixels.
fn channels_per_block(g: &Geometry, width: usize) -> usize {
    (COLUMNS_LEN / (g.taps() * width)).clamp(1, g.c_in)
}

/// How finely to cut `channels`, so that every thread has something to do where `tasks` run beside each other.
fn channels_per_task(channels: usize, tasks: usize) -> usize {
    channels.div_ceil(rayon::current_num_threads().div_ceil(tasks.max(1))).next_multiple_of(8)
}

/// `out += x * weight` for a 1x1 kernel and one sample; `weight` is `(c_out, c_in)`.
pub(super) fn pointwise(g: &Geometry, weight: Mat<'_>, x: &[f32], out: &mut [f32]) {
    let pixels = g.in_pixels();
    let channels = channels_per_task(g.c_out, g.batch);
    let x = Mat::row_major(x, [g.c_in, pixels]);
    out.par_chunks_mut(channels * pixels).enumerate().for_each(|(i, out)| {
        let first = i * channels;
        gemm_add(out, pixels, weight.rows(first..first + out.len() / pixels), x);
    });
}

/// `out += x * weight` for one sample; `weight` is `(c_out, c_in * k * k)`.
pub(super) fn forward(g: &Geometry, weight: Mat<'_>, x: &[f32], out: &mut [f32]) {
    let (taps, pixels) = (g.taps(), g.out_pixels());
    let channels = channels_per_task(g.c_out, g.batch);
    for bands in bands::groups(&Geometry { batch: 1, ..*g }, FORWARD_WIDTH) {
        for band in bands {
            let (first, width) = (band.rows.start * g.out_w(), band.rows.len() * g.out_w());
            for inputs in blocks(g.c_in, channels_per_block(g, width)) {
                let inner = inputs.start * taps..inputs.end * taps;
                with_scratch(inner.len() * width, |columns| {
                    gather(g, x, std::slice::from_ref(&band), inputs, columns);
                    let columns = Mat::row_major(columns, [inner.len(), width]);
                    out.par_chunks_mut(channels * pixels).enumerate().for_each(|(i, out)| {
                        let rows = i * channels..i * channels + out.len() / pixels;
                        gemm_add(&mut out[first..], pixels, weight.rows(rows).cols(inner.clone()), columns);
                    });
                });
            }
        }
    }
}

/// `0..len` in pieces of `size`.
fn blocks(len: usize, size: usize) -> impl Iterator<Item = Range<usize>> {
    (0..len).step_by(size).map(move |start| start..(start + size).min(len))
}

/// Gradient of `x`: what a column's gradient holds goes back to the inputs it was gathered from.
pub(super) fn grad_x(g: &Geometry, weight: &[f32], dy: &[f32]) -> Vec<f32> {
    let (taps, in_pixels, pixels) = (g.taps(), g.in_pixels(), g.out_pixels());
    let weight = Mat::row_major(weight, [g.c_out, g.c_in * taps]).transposed();
    let block = channels_per_block(g, pixels).min(channels_per_task(g.c_in, g.batch));
    let sample_len = g.c_in * in_pixels;
    let (dx, _) = par_chunks(g.batch * sample_len, sample_len, |sample, dx| {
        let dx = dx.extend(repeat_n(0.0, sample_len));
        let dy = Mat::row_major(&dy[sample * g.c_out * pixels..][..g.c_out * pixels], [g.c_out, pixels]);
        dx.par_chunks_mut(block * in_pixels).enumerate().for_each(|(i, dx)| {
            let (first, inner) = (i * block * taps, dx.len() / in_pixels * taps);
            with_scratch(inner * pixels, |columns| {
                columns.fill(0.0);
                gemm_add(columns, pixels, weight.rows(first..first + inner), dy);
                scatter_add(g, columns, dx);
            });
        });
    });
    dx
}

/// Gradient of `weight`.
pub(super) fn grad_weight(g: &Geometry, isa: Isa, x: &[f32], dy: &[f32]) -> Vec<f32> {
    let (taps, filter_len) = (g.taps(), g.c_in * g.taps());
    let channels = channels_per_task(g.c_out, 1);
    let mut dw = vec![0.0; g.c_out * filter_len];
    for bands in bands::groups(g, GRAD_WEIGHT_WIDTH) {
        let pixels = bands.len() * bands[0].rows.len() * g.out_w();
        // Whole vectors, filled up with zeros; an odd number of cache lines spreads the rows over the cache.
        let width = (pixels.div_ceil(CACHE_LINE) | 1) * CACHE_LINE;
        with_scratch(g.c_out * width, |dy_rows| {
            gather_rows(g, dy, &bands, width, dy_rows);
            for inputs in blocks(g.c_in, channels_per_block(g, width)) {
                let inner = inputs.start * taps..inputs.end * taps;
                with_scratch(inner.len() * width, |columns| {
                    gather(g, x, &bands, inputs, columns);
                    dw.par_chunks_mut(channels * filter_len).enumerate().for_each(|(i, dw)| {
                        let rows = i * channels * width..(i * channels + dw.len() / filter_len) * width;
                        add_row_products(
                            isa,
                            &mut dw[inner.start..],
                            filter_len,
                            &dy_rows[rows],
                            columns,
                            width,
                        );
                    });
                });
            }
        });
    }
    dw
}

/// `out += a · bᵀ`, where `a` and `b` consist of rows of `row_len` floats, and row `i` of `out` starts at
/// `i * out_stride`.
#[cfg_attr(not(target_arch = "x86_64"), expect(unused_variables, reason = "only x86 has a choice"))]
fn add_row_products(isa: Isa, out: &mut [f32], out_stride: usize, a: &[f32], b: &[f32], row_len: usize) {
    #[cfg(target_arch = "x86_64")]
    if let Isa::Avx512(cpu) = isa
        && row_len >= row_products::MIN_ROW_LEN
    {
        return row_products::add_row_products(cpu, out, out_stride, a, b, row_len);
    }
    let rows = |matrix| Mat::row_major(matrix, [matrix.len() / row_len, row_len]);
    gemm_add(out, out_stride, rows(a), rows(b).transposed());
}

/// The gradients `(c_out, pixels of all bands)` of the output's bands, rows filled up to `width`.
fn gather_rows(g: &Geometry, dy: &[f32], bands: &[Band], width: usize, gathered: &mut [f32]) {
    let len = bands[0].rows.len() * g.out_w();
    gathered.par_chunks_exact_mut(width).enumerate().with_min_len(8).for_each(|(o, gathered)| {
        let (pixels, rest) = gathered.split_at_mut(bands.len() * len);
        for (band, to) in bands.iter().zip(pixels.chunks_exact_mut(len)) {
            let plane = &dy[(band.sample * g.c_out + o) * g.out_pixels()..];
            to.copy_from_slice(&plane[band.rows.start * g.out_w()..][..len]);
        }
        rest.fill(0.0);
    });
}

/// The column matrix `(channels * k * k, pixels of all bands)` of some channels of `x`, rows filled up with zeros to
/// what `columns` has room for.
fn gather(g: &Geometry, x: &[f32], bands: &[Band], channels: Range<usize>, columns: &mut [f32]) {
    let width = columns.len() / (channels.len() * g.taps());
    let len = bands[0].rows.len() * g.out_w();
    let columns = columns.par_chunks_exact_mut(g.taps() * width).enumerate().with_min_len(8);
    columns.for_each(|(i, columns)| {
        for (tap, columns) in columns.chunks_exact_mut(width).enumerate() {
            let (pixels, rest) = columns.split_at_mut(bands.len() * len);
            for (band, columns) in bands.iter().zip(pixels.chunks_exact_mut(len)) {
                let plane =
                    &x[(band.sample * g.c_in + channels.start + i) * g.in_pixels()..][..g.in_pixels()];
                gather_tap(g, plane, band, [tap / g.k, tap % g.k], columns);
            }
            rest.fill(0.0);
        }
    });
}

/// What the output pixels of a band see of one channel under one tap.
fn gather_tap(g: &Geometry, plane: &[f32], band: &Band, [kh, kw]: [usize; 2], columns: &mut [f32]) {
    let (vertical, horizontal) = Axis::both(g);
    let inside = horizontal.inside(kw, g.out_w());
    for (row, to) in band.rows.clone().zip(columns.chunks_exact_mut(g.out_w())) {
        let (Some(y), false) = (vertical.input(row, kh), inside.is_empty()) else {
            to.fill(0.0);
            continue;
        };
        to[..inside.start].fill(0.0);
        to[inside.end..].fill(0.0);
        let from = &plane[y * g.w..][..g.w][inside.start * g.stride + kw - g.padding..];
        let to = &mut to[inside.clone()];
        if g.stride == 1 {
            to.copy_from_slice(&from[..to.len()]);
        } else {
            to.iter_mut().zip(from.iter().step_by(g.stride)).for_each(|(to, from)| *to = *from);
        }
    }
}

/// The reverse of [`gather`] for all output rows of a sample: adds every column's values to the inputs they belong to.
fn scatter_add(g: &Geometry, columns: &[f32], dx: &mut [f32]) {
    let (vertical, horizontal) = Axis::both(g);
    let width = g.out_pixels();
    for (dx, columns) in dx.chunks_exact_mut(g.in_pixels()).zip(columns.chunks_exact(g.taps() * width)) {
        for (tap, columns) in columns.chunks_exact(width).enumerate() {
            let (kh, kw) = (tap / g.k, tap % g.k);
            let inside = horizontal.inside(kw, g.out_w());
            if inside.is_empty() {
                continue;
            }
            for (row, from) in columns.chunks_exact(g.out_w()).enumerate() {
                let Some(y) = vertical.input(row, kh) else { continue };
                let to = &mut dx[y * g.w..][..g.w][inside.start * g.stride + kw - g.padding..];
                let from = &from[inside.clone()];
                to.iter_mut().step_by(g.stride).zip(from).for_each(|(to, from)| *to += from);
            }
        }
    }
}

/// The inputs under a row or column of outputs: output `i` under tap `tap` sees input `i * stride + tap - padding`, where
/// that exists.
#[derive(Clone, Copy)]
struct Axis {
    stride: usize,
    padding: usize,
    len: usize,
}

impl Axis {
    /// The vertical and the horizontal one.
    fn both(g: &Geometry) -> (Self, Self) {
        let vertical = Self { stride: g.stride, padding: g.padding, len: g.h };
        (vertical, Self { len: g.w, ..vertical })
    }

    fn input(self, i: usize, tap: usize) -> Option<usize> {
        (i * self.stride + tap).checked_sub(self.padding).filter(|&at| at < self.len)
    }

    /// Those of `count` outputs that see an input under `tap`.
    fn inside(self, tap: usize, count: usize) -> Range<usize> {
        let start = self.padding.saturating_sub(tap).div_ceil(self.stride).min(count);
        let end = (self.len + self.padding).saturating_sub(tap).div_ceil(self.stride).min(count);
        start..end.max(start)
    }
}
