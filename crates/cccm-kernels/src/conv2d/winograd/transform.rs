//! From images and weights to their values at the points, and back.

#![expect(clippy::inline_always, reason = "a `Loop` that is not inlined keeps the baseline's instructions")]

use std::marker::PhantomData;

use super::lanes::{LANES, Lanes, gather, load, pick, store};
use super::points::{POINTS, SIDE, of_input, of_output_grad, of_weight};
use super::tiles::{TILE, Tiles};
use crate::isa::{Instructions, Loop};

/// What a tile sees of an image.
pub(super) trait Window {
    /// Pixels of the window in one dimension.
    const SIZE: usize;
    /// Pixels of it in front of the tile.
    const BEFORE: usize;

    /// The points of `SIZE` vectors that are `stride` apart.
    fn points<I: Instructions>(pixels: &[Lanes], stride: usize) -> [I::Vector; SIDE];
}

/// Inputs: the tile and a pixel around it.
pub(super) struct InputWindow;

impl Window for InputWindow {
    const SIZE: usize = TILE + 2;
    const BEFORE: usize = 1;

    #[inline(always)]
    fn points<I: Instructions>(pixels: &[Lanes], stride: usize) -> [I::Vector; SIDE] {
        of_input::<I>(load::<I, 6>(pixels, stride))
    }
}

/// Gradients of outputs: the tile.
pub(super) struct OutputGradWindow;

impl Window for OutputGradWindow {
    const SIZE: usize = TILE;
    const BEFORE: usize = 0;

    #[inline(always)]
    fn points<I: Instructions>(pixels: &[Lanes], stride: usize) -> [I::Vector; SIDE] {
        of_output_grad::<I>(load::<I, 4>(pixels, stride))
    }
}

/// Writes the points of one group's tiles for sixteen channels, `(36, per_group)`.
pub(super) struct ImagePoints<'a, W> {
    pub(super) tiles: &'a Tiles,
    pub(super) group: usize,
    /// The whole batch, with so many channels.
    pub(super) image: &'a [f32],
    pub(super) channels: usize,
    /// The first of the sixteen.
    pub(super) first_channel: usize,
    pub(super) points: &'a mut [Lanes],
    /// [`image_scratch_len`] vectors.
    pub(super) scratch: &'a mut [Lanes],
    pub(super) window: PhantomData<W>,
}

/// Work memory of [`ImagePoints`].
pub(super) fn image_scratch_len<W: Window>(tiles: &Tiles) -> usize {
    (W::SIZE + SIDE) * ((tiles.per_row - 1) * TILE + W::SIZE)
}

impl<W: Window> Loop for ImagePoints<'_, W> {
    type Output = ();

    #[inline(always)]
    fn run<I: Instructions>(self) {
        let Self { tiles, group, image, channels, first_channel, points, scratch, .. } = self;
        let (pixels, per_group) = (tiles.h * tiles.w, tiles.per_group());
        let width = (tiles.per_row - 1) * TILE + W::SIZE;
        let inside = W::BEFORE..(W::BEFORE + tiles.w).min(width);
        let lanes = (channels - first_channel).min(LANES);
        let mut done = 0;
        let (rows, columns) = scratch[..(W::SIZE + SIDE) * width].split_at_mut(W::SIZE * width);
        for tile_row in tiles.rows(group) {
            let planes = &image[(tile_row.sample * channels + first_channel) * pixels..];
            for (r, row) in rows.chunks_exact_mut(width).enumerate() {
                match (tile_row.y + r).checked_sub(W::BEFORE).filter(|y| *y < tiles.h) {
                    Some(y) => {
                        row[..inside.start].fill([0.0; LANES]);
                        row[inside.end..].fill([0.0; LANES]);
                        let channel = |c: usize| &planes[c * pixels + y * tiles.w..];
                        gather::<I>(lanes, channel, &mut row[inside.clone()]);
                    }
                    None => row.fill([0.0; LANES]),
                }
            }
            for x in 0..width {
                store::<I, SIDE>(W::points::<I>(&rows[x..], width), &mut columns[x..], width);
            }
            for (r, row) in columns.chunks_exact(width).enumerate() {
                for tile in 0..tiles.per_row {
                    let at = r * SIDE * per_group + tile_row.first + tile;
                    store::<I, SIDE>(W::points::<I>(&row[tile * TILE..], 1), &mut points[at..], per_group);
                }
            }
            done = tile_row.first + tiles.per_row;
        }
        for point in points.chunks_exact_mut(per_group) {
            point[done..].fill([0.0; LANES]);
        }
    }
}

/// 3 × 3 filters from every input to every output channel.
#[derive(Clone, Copy)]
pub(in crate::conv2d) struct Filters<'a> {
    weight: &'a [f32],
    inputs: usize,
    outputs: usize,
    /// Floats from a channel's filter to the next one's.
    input_stride: usize,
    output_stride: usize,
    /// Whether each is turned by 180 degrees.
    turned: bool,
}

const TAPS: usize = 9;

impl<'a> Filters<'a> {
    /// `weight (outputs, inputs, 3, 3)`.
    pub(in crate::conv2d) fn new(weight: &'a [f32], outputs: usize, inputs: usize) -> Self {
        Self { weight, inputs, outputs, input_stride: TAPS, output_stride: inputs * TAPS, turned: false }
    }

    /// Those that take the gradient of their outputs to that of their inputs.
    pub(in crate::conv2d) fn transposed(self) -> Self {
        Self {
            inputs: self.outputs,
            outputs: self.inputs,
            input_stride: self.output_stride,
            output_stride: self.input_stride,
            turned: !self.turned,
            ..self
        }
    }

    /// Prefetches the filters from the next sixteen inputs to sixteen output channels. They are rows of nine
    /// cache lines, too short for the CPU's own prefetcher.
    #[inline(always)]
    pub(super) fn prefetch<I: Instructions>(&self, first_output: usize, first_input: usize) {
        if self.input_stride != TAPS || first_input >= self.inputs {
            return;
        }
        for output in first_output..(first_output + LANES).min(self.outputs) {
            let start = output * self.output_stride + first_input * TAPS;
            self.weight[start..].chunks(LANES).take(TAPS).for_each(I::prefetch);
        }
    }

    pub(super) fn inputs(&self) -> usize {
        self.inputs
    }

    pub(super) fn outputs(&self) -> usize {
        self.outputs
    }
}

/// Writes the points of the filters from some inputs to sixteen output channels, `(36, inputs)`. The inputs
/// are those from `first_input` on, as many as there are or as fit; the last place of `points` is always left
/// unused.
pub(super) struct FilterPoints<'a> {
    pub(super) filters: Filters<'a>,
    pub(super) first_output: usize,
    pub(super) first_input: usize,
    pub(super) points: &'a mut [Lanes],
}

impl Loop for FilterPoints<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Instructions>(self) {
        let Self { filters, first_output, first_input, points } = self;
        let depth = points.len() / POINTS;
        let inputs = (filters.inputs - first_input).min(depth - 1);
        let lanes = (filters.outputs - first_output).min(LANES);
        // Filters that follow each other in memory are turned sixteen at a time: 144 weights are whole vectors.
        let at_once = if filters.input_stride == TAPS { LANES } else { 1 };
        let mut taps = [[0.0; LANES]; LANES * TAPS];
        for first in (0..inputs).step_by(at_once) {
            let count = at_once.min(inputs - first);
            let start = (first_input + first) * filters.input_stride + first_output * filters.output_stride;
            let filter = |output: usize| &filters.weight[start + output * filters.output_stride..];
            gather::<I>(lanes, filter, &mut taps[..count * TAPS]);
            for (i, taps) in taps.chunks_exact_mut(TAPS).take(count).enumerate() {
                if filters.turned {
                    taps.reverse();
                }
                let mut columns = [[I::splat(0.0); SIDE]; 3];
                for (x, column) in columns.iter_mut().enumerate() {
                    *column = of_weight::<I>(load::<I, 3>(&taps[x..], 3));
                }
                for r in 0..SIDE {
                    let row = of_weight::<I>(pick::<I, 3, SIDE>(&columns, r));
                    store::<I, SIDE>(row, &mut points[r * SIDE * depth + first + i..], depth);
                }
            }
        }
        // The image's lanes that are no channels are 0, but 0 times whatever lay here may be NaN.
        for point in points.chunks_exact_mut(depth) {
            point[inputs..].fill([0.0; LANES]);
        }
    }
}
