//! Outputs, from the points of inputs and filters.

#![expect(unsafe_code, reason = "tasks write rows of the same planes")]
#![expect(clippy::inline_always, reason = "a `Loop` that is not inlined keeps the baseline's instructions")]

use std::ops::Range;

use super::lanes::{LANES, Lanes, load, pick, scatter, store};
use super::points::{POINTS, SIDE, to_output};
use super::product::{Left, Right, block};
use super::tiles::{TILE, Tiles};
use super::transform::{FilterPoints, Filters};
use crate::buffer::Scattered;
use crate::isa::{Instructions, Loop};

/// Vectors between the points of sixteen inputs' filters: an odd number spreads them over the cache.
const DEPTH: usize = LANES + 1;

/// One group's tiles of up to two times sixteen output channels.
pub(super) struct Job<'a> {
    pub(super) tiles: &'a Tiles,
    pub(super) group: usize,
    /// Of the group: `(inputs / 16, 36, per_group)`.
    pub(super) image: &'a [Lanes],
    pub(super) filters: Filters<'a>,
    /// Their points where they are known already: `(1 or 2, 36, depth)`, a vector for sixteen output channels.
    pub(super) filter_points: Option<&'a [Lanes]>,
    /// The first of the output channels.
    pub(super) first_output: usize,
    pub(super) bias: Option<&'a [f32]>,
    /// The whole batch.
    pub(super) out: &'a Scattered<f32>,
}

/// A [`Job`] with its work memory, [`Job::scratch_len`] vectors.
pub(super) struct WriteOutputs<'a> {
    pub(super) task: Job<'a>,
    pub(super) scratch: &'a mut [Lanes],
}

impl Loop for WriteOutputs<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Instructions>(self) {
        let Self { task, scratch } = self;
        let per_group = task.tiles.per_group();
        let vectors = (task.filters.outputs() - task.first_output).div_ceil(LANES).min(2);
        let (products, scratch) = scratch.split_at_mut(vectors * POINTS * per_group);
        let (rows, scratch) = scratch.split_at_mut(TILE * tiles_width(task.tiles));
        let blocks = task.filters.inputs().div_ceil(LANES);
        if let Some(points) = task.filter_points {
            task.multiply_vectors::<I>(0..blocks, points, products);
        } else {
            let points = &mut scratch[..vectors * POINTS * DEPTH];
            for block in 0..blocks {
                let first_input = block * LANES;
                for (v, points) in points.chunks_exact_mut(POINTS * DEPTH).enumerate() {
                    let first_output = task.first_output + v * LANES;
                    FilterPoints { filters: task.filters, first_output, first_input, points }.run::<I>();
                    task.filters.prefetch::<I>(first_output, first_input + LANES);
                }
                task.multiply_vectors::<I>(block..block + 1, points, products);
            }
        }
        for (v, products) in products.chunks_exact(POINTS * per_group).enumerate() {
            task.write::<I>(task.first_output + v * LANES, products, rows);
        }
    }
}

/// Pixels of a row of tiles.
fn tiles_width(tiles: &Tiles) -> usize {
    tiles.per_row * TILE
}

/// The filters from some blocks of sixteen inputs.
#[derive(Clone, Copy)]
struct Portion<'a> {
    first_block: usize,
    blocks: usize,
    /// `(vectors, 36, depth)`.
    points: &'a [Lanes],
    depth: usize,
}

impl Job<'_> {
    pub(super) fn scratch_len(tiles: &Tiles) -> usize {
        2 * POINTS * tiles.per_group() + TILE * tiles_width(tiles) + 2 * POINTS * DEPTH
    }

    /// Products with some blocks of sixteen inputs, `(vectors, 36, per_group)`: the first block starts them, others add
    /// to them.
    #[inline(always)]
    fn multiply_vectors<I: Instructions>(
        &self,
        blocks: Range<usize>,
        points: &[Lanes],
        products: &mut [Lanes],
    ) {
        let per_vector = POINTS * self.tiles.per_group();
        let depth = points.len() / (products.len() / per_vector * POINTS);
        let portion = Portion { first_block: blocks.start, blocks: blocks.len(), points, depth };
        // As many sums as leave registers for their factors.
        if I::REGISTERS >= 32 && products.len() == 2 * per_vector {
            return self.multiply::<I, 12, 2>(portion, products);
        }
        for (v, products) in products.chunks_exact_mut(per_vector).enumerate() {
            let portion = Portion { points: &points[v * POINTS * depth..], ..portion };
            match I::REGISTERS {
                32.. => self.multiply::<I, 12, 1>(portion, products),
                8.. => self.multiply::<I, 4, 1>(portion, products),
                _ => self.multiply::<I, 2, 1>(portion, products),
            }
        }
    }

    /// The same for `V` vectors of output channels.
    #[inline(always)]
    fn multiply<I: Instructions, const ROWS: usize, const V: usize>(
        &self,
        portion: Portion<'_>,
        products: &mut [Lanes],
    ) {
        let per_group = self.tiles.per_group();
        for point in 0..POINTS {
            let mut tile = 0;
            while tile < per_group {
                let at = point * per_group + tile;
                let rest = per_group - tile;
                tile += if rest >= ROWS {
                    self.multiply_rows::<I, ROWS, V>(portion, point, at, products)
                } else if ROWS > 8 && rest >= 8 {
                    self.multiply_rows::<I, 8, V>(portion, point, at, products)
                } else if ROWS > 4 && rest >= 4 {
                    self.multiply_rows::<I, 4, V>(portion, point, at, products)
                } else {
                    self.multiply_rows::<I, 1, V>(portion, point, at, products)
                };
            }
        }
    }

    /// Some tiles' products at one point, from the vector `at` of the products on; returns how many tiles.
    #[inline(always)]
    fn multiply_rows<I: Instructions, const ROWS: usize, const V: usize>(
        &self,
        portion: Portion<'_>,
        point: usize,
        at: usize,
        products: &mut [Lanes],
    ) -> usize {
        let per_vector = POINTS * self.tiles.per_group();
        let Portion { first_block, blocks, points, depth } = portion;
        let left = Left {
            data: self.image[first_block * per_vector + at..].as_flattened(),
            outer: (blocks, per_vector * LANES),
            inner: (self.filters.inputs().min(LANES), 1),
        };
        let right =
            Right { data: &points[point * depth..], outer_stride: LANES, vector_stride: POINTS * depth };
        let sums = block::<I, ROWS, LANES, V>(left, right);
        for v in 0..V {
            let products = &mut products[v * per_vector + at..];
            let mut sums = pick::<I, ROWS, V>(&sums, v);
            if first_block > 0 {
                let before = load::<I, ROWS>(products, 1);
                for (sum, before) in sums.iter_mut().zip(before) {
                    *sum = I::add(before, *sum);
                }
            }
            store::<I, ROWS>(sums, products, 1);
        }
        ROWS
    }

    /// Turns sixteen channels' products into outputs.
    #[inline(always)]
    fn write<I: Instructions>(&self, first_output: usize, products: &[Lanes], rows: &mut [Lanes]) {
        let tiles = self.tiles;
        let (pixels, per_group, width) = (tiles.h * tiles.w, tiles.per_group(), tiles_width(tiles));
        let channels = (self.filters.outputs() - first_output).min(LANES);
        for tile_row in tiles.rows(self.group) {
            let bias = I::load(&self.bias(tile_row.sample, first_output, channels));
            for tile in 0..tiles.per_row {
                let mut columns = [[I::splat(0.0); TILE]; SIDE];
                for (x, column) in columns.iter_mut().enumerate() {
                    let at = x * per_group + tile_row.first + tile;
                    *column = to_output::<I>(load::<I, SIDE>(&products[at..], SIDE * per_group));
                }
                for (y, row) in rows.chunks_exact_mut(width).take(TILE).enumerate() {
                    let values = to_output::<I>(pick::<I, SIDE, TILE>(&columns, y));
                    for (value, pixel) in values.into_iter().zip(&mut row[tile * TILE..]) {
                        I::store(I::add(value, bias), pixel);
                    }
                }
            }
            let first_plane = (tile_row.sample * self.filters.outputs() + first_output) * pixels;
            for (y, row) in (tile_row.y..tiles.h).zip(rows.chunks_exact(width).take(TILE)) {
                scatter::<I>(channels, &row[..tiles.w], |c, x, values| {
                    let at = first_plane + c * pixels + y * tiles.w + x;
                    // SAFETY: no other task has these channels of this group.
                    unsafe { self.out.write(at, values) };
                });
            }
        }
    }

    #[inline(always)]
    fn bias(&self, sample: usize, first: usize, channels: usize) -> Lanes {
        let mut lanes = [0.0; LANES];
        if let Some(bias) = self.bias {
            let start = (sample * self.filters.outputs() + first) % bias.len();
            lanes[..channels].copy_from_slice(&bias[start..start + channels]);
        }
        lanes
    }
}
