//! Convolution as a matrix product: every output pixel becomes a column that holds the inputs it sees.

use std::ops::Range;

use rayon::prelude::*;

use super::geometry::Geometry;
use crate::gemm::{Mat, gemm_add};
use crate::scratch::with_scratch;

/// Floats of a column matrix: it should stay in the second-level cache.
const COLUMNS_LEN: usize = 192 * 1024;
/// Output pixels of a column matrix: wide enough for the matrix product, few enough for many channels.
const COLUMNS_WIDTH: usize = 512;

/// Rows of the output that share a column matrix.
fn row_blocks(g: &Geometry) -> impl Iterator<Item = Range<usize>> {
    let rows = (COLUMNS_WIDTH / g.out_w()).max(1);
    let out_h = g.out_h();
    (0..out_h).step_by(rows).map(move |start| start..(start + rows).min(out_h))
}

/// Channels whose taps fit into a column matrix of `width` pixels.
fn channels_per_block(g: &Geometry, width: usize) -> usize {
    (COLUMNS_LEN / (g.taps() * width)).clamp(1, g.c_in)
}

/// How finely to cut a sample of `channels`, so that every thread has something to do.
fn channels_per_task(g: &Geometry, channels: usize) -> usize {
    let tasks = rayon::current_num_threads().div_ceil(g.batch.max(1));
    channels.div_ceil(tasks).next_multiple_of(8)
}

/// `out += x * weight` for a 1x1 kernel; `weight` is `(c_out, c_in)`.
pub(super) fn pointwise(g: &Geometry, weight: Mat<'_>, x: &[f32], out: &mut [f32]) {
    let pixels = g.in_pixels();
    let channels = channels_per_task(g, g.c_out);
    let samples = out.par_chunks_exact_mut(g.c_out * pixels).zip(x.par_chunks_exact(g.c_in * pixels));
    samples.for_each(|(out, x)| {
        let x = Mat::row_major(x, [g.c_in, pixels]);
        out.par_chunks_mut(channels * pixels).enumerate().for_each(|(i, out)| {
            let weight = weight.rows(i * channels..i * channels + out.len() / pixels);
            gemm_add(out, pixels, weight, x);
        });
    });
}

/// `out += x * weight`.
pub(super) fn forward(g: &Geometry, x: &[f32], weight: &[f32], out: &mut [f32]) {
    let weight = Mat::row_major(weight, [g.c_out, g.c_in * g.taps()]);
    let samples =
        out.par_chunks_exact_mut(g.c_out * g.out_pixels()).zip(x.par_chunks_exact(g.c_in * g.in_pixels()));
    samples.for_each(|(out, x)| {
        for rows in row_blocks(g) {
            forward_rows(g, x, weight, rows, out);
        }
    });
}

fn forward_rows(g: &Geometry, x: &[f32], weight: Mat<'_>, rows: Range<usize>, out: &mut [f32]) {
    let (taps, pixels) = (g.taps(), g.out_pixels());
    let (first, width) = (rows.start * g.out_w(), rows.len() * g.out_w());
    let block = channels_per_block(g, width);
    let channels = channels_per_task(g, g.c_out);
    with_scratch(block * taps * width, |columns| {
        for (b, x) in x.chunks(block * g.in_pixels()).enumerate() {
            let inner = x.len() / g.in_pixels() * taps;
            let columns = &mut columns[..inner * width];
            gather(g, x, &rows, columns);
            let columns = Mat::row_major(columns, [inner, width]);
            out.par_chunks_mut(channels * pixels).enumerate().for_each(|(i, out)| {
                let weight = weight
                    .rows(i * channels..i * channels + out.len() / pixels)
                    .cols(b * block * taps..b * block * taps + inner);
                gemm_add(&mut out[first..], pixels, weight, columns);
            });
        }
    });
}

/// Gradient of `x`, added to `dx`: what a column's gradient holds goes back to the inputs it was gathered from.
pub(super) fn grad_x(g: &Geometry, weight: &[f32], dy: &[f32], dx: &mut [f32]) {
    let (taps, pixels) = (g.taps(), g.out_pixels());
    let weight = Mat::row_major(weight, [g.c_out, g.c_in * taps]).transposed();
    let block = channels_per_block(g, pixels).min(channels_per_task(g, g.c_in));
    let samples = dx.par_chunks_exact_mut(g.c_in * g.in_pixels()).zip(dy.par_chunks_exact(g.c_out * pixels));
    samples.for_each(|(dx, dy)| {
        let dy = Mat::row_major(dy, [g.c_out, pixels]);
        dx.par_chunks_mut(block * g.in_pixels()).enumerate().for_each(|(b, dx)| {
            let inner = dx.len() / g.in_pixels() * taps;
            with_scratch(inner * pixels, |columns| {
                columns.fill(0.0);
                gemm_add(columns, pixels, weight.rows(b * block * taps..b * block * taps + inner), dy);
                scatter_add(g, columns, dx);
            });
        });
    });
}

/// Gradient of `weight`, added to `dw`.
pub(super) fn grad_weight(g: &Geometry, x: &[f32], dy: &[f32], dw: &mut [f32]) {
    let taps = g.taps();
    // Tasks share out the input channels, so that each gathers its own columns; with `dw` transposed, what a task
    // writes lies together.
    let mut transposed = vec![0.0; dw.len()];
    let width = row_blocks(g).map(|rows| rows.len() * g.out_w()).max().unwrap_or(0);
    let tasks = 2 * rayon::current_num_threads();
    let block = channels_per_block(g, width).min(g.c_in.div_ceil(tasks));
    transposed.par_chunks_mut(block * taps * g.c_out).enumerate().for_each(|(b, dw)| {
        let channels = b * block..b * block + dw.len() / (taps * g.c_out);
        for (x, dy) in x.chunks_exact(g.c_in * g.in_pixels()).zip(dy.chunks_exact(g.c_out * g.out_pixels())) {
            let x = &x[channels.start * g.in_pixels()..channels.end * g.in_pixels()];
            grad_weight_sample(g, x, dy, dw);
        }
    });
    let rows = g.c_in * taps;
    dw.par_chunks_exact_mut(rows).enumerate().with_min_len(4).for_each(|(o, filter)| {
        filter.iter_mut().zip(transposed.iter().skip(o).step_by(g.c_out)).for_each(|(to, from)| *to += from);
    });
}

/// Adds one sample's part to `dw (channels of x * k * k, c_out)`.
fn grad_weight_sample(g: &Geometry, x: &[f32], dy: &[f32], dw: &mut [f32]) {
    let pixels = g.out_pixels();
    let inner = dw.len() / g.c_out;
    if g.is_pointwise() {
        let dy = Mat::row_major(dy, [g.c_out, pixels]);
        return gemm_add(dw, g.c_out, Mat::row_major(x, [inner, pixels]), dy.transposed());
    }
    for rows in row_blocks(g) {
        let (first, width) = (rows.start * g.out_w(), rows.len() * g.out_w());
        let dy = Mat::new(&dy[first..], [g.c_out, width], [pixels, 1]);
        with_scratch(inner * width, |columns| {
            gather(g, x, &rows, columns);
            gemm_add(dw, g.c_out, Mat::row_major(columns, [inner, width]), dy.transposed());
        });
    }
}

/// The input pixel under each output pixel of a row or column of them: output `i` under tap `tap` sees input
/// `i * stride + tap - padding`, where that exists.
struct Axis {
    stride: usize,
    padding: usize,
    len: usize,
}

impl Axis {
    fn input(&self, i: usize, tap: usize) -> Option<usize> {
        (i * self.stride + tap).checked_sub(self.padding).filter(|&at| at < self.len)
    }

    /// Outputs out of `count` that see an input under `tap`.
    fn inside(&self, tap: usize, count: usize) -> Range<usize> {
        let start = self.padding.saturating_sub(tap).div_ceil(self.stride).min(count);
        let end = (self.len + self.padding).saturating_sub(tap).div_ceil(self.stride).min(count);
        start..end.max(start)
    }
}

/// The column matrix `(channels * k * k, rows * out_w)` of the output rows `rows`; `x` holds whole channels.
fn gather(g: &Geometry, x: &[f32], rows: &Range<usize>, columns: &mut [f32]) {
    let width = rows.len() * g.out_w();
    let channels = x.par_chunks_exact(g.in_pixels()).zip(columns.par_chunks_exact_mut(g.taps() * width));
    channels.with_min_len(8).for_each(|(x, columns)| {
        for (tap, columns) in columns.chunks_exact_mut(width).enumerate() {
            gather_tap(g, x, rows, [tap / g.k, tap % g.k], columns);
        }
    });
}

fn gather_tap(g: &Geometry, x: &[f32], rows: &Range<usize>, [kh, kw]: [usize; 2], columns: &mut [f32]) {
    let vertical = Axis { stride: g.stride, padding: g.padding, len: g.h };
    let horizontal = Axis { len: g.w, ..vertical };
    let inside = horizontal.inside(kw, g.out_w());
    for (row, to) in rows.clone().zip(columns.chunks_exact_mut(g.out_w())) {
        let (Some(y), false) = (vertical.input(row, kh), inside.is_empty()) else {
            to.fill(0.0);
            continue;
        };
        to[..inside.start].fill(0.0);
        to[inside.end..].fill(0.0);
        let from = &x[y * g.w..][..g.w][inside.start * g.stride + kw - g.padding..];
        let to = &mut to[inside.clone()];
        if g.stride == 1 {
            to.copy_from_slice(&from[..to.len()]);
        } else {
            to.iter_mut().zip(from.iter().step_by(g.stride)).for_each(|(to, from)| *to = *from);
        }
    }
}

/// The reverse of [`gather`] over all output rows: adds every column's values to the inputs they belong to.
fn scatter_add(g: &Geometry, columns: &[f32], dx: &mut [f32]) {
    let vertical = Axis { stride: g.stride, padding: g.padding, len: g.h };
    let horizontal = Axis { len: g.w, ..vertical };
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
