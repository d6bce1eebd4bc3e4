//! 3 × 3 convolution with stride 1 and padding 1 through F(4×4, 3×3): a quarter of the multiplications (Lavin & Gray
//! 2016, *Fast Algorithms for Convolutional Neural Networks*).
//!
//! Every tile of 4 × 4 outputs, with the pixels around it, and every filter become values at 36 points. There, a
//! convolution is a matrix product over the input channels, and the products become the tile's outputs. The gradient
//! of `x` is a convolution itself; that of the weights is, at each point, a product over the tiles.
//!
//! Values at the points are held as `(group of tiles, 16 channels, 36 points, tiles of the group)` of sixteen channels
//! side by side. As many groups as a part has are transformed, used, and forgotten.

#![expect(unsafe_code, reason = "a result is complete when all tasks are done")]

mod forward;
mod grad_weight;
mod lanes;
mod points;
mod product;
mod tiles;
mod transform;

#[cfg(test)]
mod tests;

use std::marker::PhantomData;
use std::ops::Range;

use rayon::prelude::*;

use super::geometry::Geometry;
use crate::buffer::Scattered;
use crate::isa::Isa;
use crate::scratch::with_scratch;
use forward::{Job, WriteOutputs};
use grad_weight::{AddWeightGrads, FiltersFromSums, INPUTS, SCRATCH_LEN, SUMS, WeightGrads};
use lanes::{LANES, Lanes};
use points::POINTS;
use tiles::Tiles;
pub(super) use transform::Filters;
use transform::{FilterPoints, ImagePoints, InputWindow, OutputGradWindow, Window, image_scratch_len};

/// Floats that the points of a part's images, or of a pass's filters, may take: they should stay in the last-level
/// cache.
const POINTS_LEN: usize = 2 << 20;

/// Tiles and input channels from which on this is faster than a general matrix product: with fewer, most of the time
/// goes into the transforms of filters or of images.
const MIN_TILES: usize = 4;
const MIN_INPUTS: usize = LANES;

/// Whether a convolution can be computed here, and in less time than by [`im2col`](super::im2col).
pub(super) fn is_faster(g: &Geometry, isa: Isa) -> bool {
    g.is_same_3x3() && isa.has_vectors() && g.c_in >= MIN_INPUTS && Tiles::new(g).count() >= MIN_TILES
}

/// `x * filters + bias`; `bias` holds as many values as there are output channels, or as many for each sample.
pub(super) fn forward(
    g: &Geometry,
    isa: Isa,
    filters: Filters<'_>,
    x: &[f32],
    bias: Option<&[f32]>,
) -> Vec<f32> {
    let tiles = &Tiles::new(g);
    let (inputs, outputs) = (filters.inputs(), filters.outputs());
    let out = Scattered::new(g.batch * outputs * g.in_pixels());
    for part in parts(tiles, inputs) {
        with_image_points::<InputWindow, _>(isa, tiles, part.clone(), x, inputs, |image| {
            let group_len = image.len() / part.len();
            let write_outputs = |group: usize, first_output: usize, filter_points: Option<&[Lanes]>| {
                let image = &image[group * group_len..][..group_len];
                let group = part.start + group;
                let task = Job { tiles, group, image, filters, filter_points, first_output, bias, out: &out };
                with_lanes(Job::scratch_len(tiles), |scratch| isa.run(WriteOutputs { task, scratch }));
            };
            // With a single group, filters are transformed where they are used, and need not go through the
            // last-level cache.
            if tiles.groups() == 1 {
                let firsts = (0..outputs).into_par_iter().step_by(2 * LANES);
                return firsts.for_each(|first_output| write_outputs(0, first_output, None));
            }
            let filter_len = POINTS * (inputs.next_multiple_of(LANES) + 1);
            let per_pass =
                (POINTS_LEN / LANES / filter_len).max(2 * rayon::current_num_threads()).next_multiple_of(2);
            for first in (0..outputs).step_by(per_pass * LANES) {
                let vectors = (outputs - first).div_ceil(LANES).min(per_pass);
                with_lanes(vectors * filter_len, |points| {
                    points.par_chunks_exact_mut(filter_len).enumerate().for_each(|(v, points)| {
                        let first_output = first + v * LANES;
                        isa.run(FilterPoints { filters, first_output, first_input: 0, points });
                    });
                    // All output channels of a group, then the next group.
                    let pairs = vectors.div_ceil(2);
                    (0..part.len() * pairs).into_par_iter().for_each(|task| {
                        let pair = task % pairs;
                        let points = points.chunks(2 * filter_len).nth(pair).unwrap_or_default();
                        write_outputs(task / pairs, first + pair * 2 * LANES, Some(points));
                    });
                });
            }
        });
    }
    // SAFETY: every tile is in one group, every group in one part, and its outputs' channels in one task.
    unsafe { out.into_vec() }
}

/// Gradient of the weights, `(c_out, c_in, 3, 3)`.
pub(super) fn grad_weight(g: &Geometry, isa: Isa, x: &[f32], dy: &[f32]) -> Vec<f32> {
    let tiles = &Tiles::new(g);
    let blocks = g.c_in.div_ceil(INPUTS);
    let vectors = g.c_out.div_ceil(LANES);
    // `(c_out / 32, c_in / 8, up to 2, 8, 9)`
    let mut sums = vec![[0.0; LANES]; vectors * blocks * SUMS];
    for part in parts(tiles, g.c_in + g.c_out) {
        with_image_points::<InputWindow, _>(isa, tiles, part.clone(), x, g.c_in, |image| {
            with_image_points::<OutputGradWindow, _>(isa, tiles, part.clone(), dy, g.c_out, |output_grad| {
                let pairs = sums.par_chunks_mut(2 * blocks * SUMS).enumerate();
                pairs.for_each(|(pair, sums)| {
                    let vectors = sums.len() / (blocks * SUMS);
                    sums.par_chunks_exact_mut(vectors * SUMS).enumerate().for_each(|(block, sums)| {
                        let task = WeightGrads {
                            groups: part.len(),
                            per_group: tiles.per_group(),
                            image,
                            inputs: g.c_in,
                            first_input: block * INPUTS,
                            output_grad,
                            outputs: g.c_out,
                            first_output: pair * 2 * LANES,
                        };
                        with_lanes(SCRATCH_LEN, |scratch| isa.run(AddWeightGrads { task, sums, scratch }));
                    });
                });
            });
        });
    }
    let filter_len = g.c_in * 9;
    let mut dw = vec![0.0; g.c_out * filter_len];
    let pairs = dw.par_chunks_mut(2 * LANES * filter_len).zip(sums.par_chunks(2 * blocks * SUMS));
    pairs.for_each(|(filters, sums)| isa.run(FiltersFromSums { sums, inputs: g.c_in, filters }));
    dw
}

/// Groups of tiles in portions whose points fit into the cache, or one group.
fn parts(tiles: &Tiles, channels: usize) -> impl Iterator<Item = Range<usize>> + use<> {
    let group_len = channels.next_multiple_of(LANES) * POINTS * tiles.per_group();
    let (groups, per_part) = (tiles.groups(), (POINTS_LEN / group_len).max(1));
    (0..groups).step_by(per_part).map(move |first| first..(first + per_part).min(groups))
}

/// Lends `f` the points of a part: `(groups, channels / 16, 36, per_group)`.
fn with_image_points<W: Window, R>(
    isa: Isa,
    tiles: &Tiles,
    part: Range<usize>,
    image: &[f32],
    channels: usize,
    f: impl FnOnce(&[Lanes]) -> R,
) -> R {
    let (vectors, len) = (channels.div_ceil(LANES), POINTS * tiles.per_group());
    with_lanes(part.len() * vectors * len, |points| {
        points.par_chunks_exact_mut(len).enumerate().for_each(|(i, points)| {
            let (group, first_channel) = (part.start + i / vectors, i % vectors * LANES);
            with_lanes(image_scratch_len::<W>(tiles), |scratch| {
                let window = PhantomData::<W>;
                isa.run(ImagePoints {
                    tiles,
                    group,
                    image,
                    channels,
                    first_channel,
                    points,
                    scratch,
                    window,
                });
            });
        });
        f(points)
    })
}

fn with_lanes<R>(len: usize, f: impl FnOnce(&mut [Lanes]) -> R) -> R {
    with_scratch(len * LANES, |scratch| f(scratch.as_chunks_mut().0))
}
