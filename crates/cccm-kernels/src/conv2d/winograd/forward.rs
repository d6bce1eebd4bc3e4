//! Outputs, from the points of inputs and filters.

#![expect(unsafe_code, reason = "tasks write rows of the same planes")]
#![expect(clippy::inline_always, reason = "a `Loop` that is not inlined keeps the baseline's instructions")]

use super::lanes::{LANES, Lanes, load, pick, scatter, store};
use super::points::{POINTS, SIDE, to_output};
use super::product::{Left, Right, block};
use super::tiles::{TILE, Tiles};
use crate::buffer::Scattered;
use crate::isa::{Instructions, Loop};

/// One group's tiles of up to two times sixteen output channels.
pub(super) struct Job<'a> {
    pub(super) tiles: &'a Tiles,
    pub(super) group: usize,
    /// Of the group: `(inputs / 16, 36, per_group)`.
    pub(super) image: &'a [Lanes],
    pub(super) inputs: usize,
    /// Of one or two groups of output channels: `(outputs / 16, 36, depth)`.
    pub(super) filters: &'a [Lanes],
    pub(super) depth: usize,
    /// All output channels, and the first of these.
    pub(super) outputs: usize,
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
        let per_group = self.task.tiles.per_group();
        let vectors = self.task.filters.len() / (POINTS * self.task.depth);
        let (products, rows) = self.scratch.split_at_mut(vectors * POINTS * per_group);
        // As many sums as leave registers for their factors.
        if I::REGISTERS >= 32 && vectors == 2 {
            self.task.multiply::<I, 12, 2>(0, products);
        } else {
            for (v, products) in products.chunks_exact_mut(POINTS * per_group).enumerate() {
                match I::REGISTERS {
                    32.. => self.task.multiply::<I, 12, 1>(v, products),
                    8.. => self.task.multiply::<I, 4, 1>(v, products),
                    _ => self.task.multiply::<I, 2, 1>(v, products),
                }
            }
        }
        for (v, products) in products.chunks_exact(POINTS * per_group).enumerate() {
            self.task.write::<I>(self.task.first_output + v * LANES, products, rows);
        }
    }
}

impl Job<'_> {
    pub(super) fn scratch_len(tiles: &Tiles) -> usize {
        2 * POINTS * tiles.per_group() + TILE * tiles.per_row * TILE
    }

    /// Products at all points, `(V, 36, per_group)`, with the filters from the `first`-th group of channels on.
    #[inline(always)]
    fn multiply<I: Instructions, const ROWS: usize, const V: usize>(
        &self,
        first: usize,
        products: &mut [Lanes],
    ) {
        let per_group = self.tiles.per_group();
        for point in 0..POINTS {
            let right = Right {
                data: &self.filters[(first * POINTS + point) * self.depth..],
                outer_stride: LANES,
                vector_stride: POINTS * self.depth,
            };
            let mut tile = 0;
            while tile < per_group {
                let left = Left {
                    data: self.image[point * per_group + tile..].as_flattened(),
                    outer: (self.inputs.div_ceil(LANES), POINTS * per_group * LANES),
                    inner: (self.inputs.min(LANES), 1),
                };
                let products = &mut products[point * per_group + tile..];
                let rest = per_group - tile;
                tile += if rest >= ROWS {
                    self.multiply_rows::<I, ROWS, V>(left, right, products)
                } else if ROWS > 8 && rest >= 8 {
                    self.multiply_rows::<I, 8, V>(left, right, products)
                } else if ROWS > 4 && rest >= 4 {
                    self.multiply_rows::<I, 4, V>(left, right, products)
                } else {
                    self.multiply_rows::<I, 1, V>(left, right, products)
                };
            }
        }
    }

    /// Some tiles' products at one point; returns how many tiles.
    #[inline(always)]
    fn multiply_rows<I: Instructions, const ROWS: usize, const V: usize>(
        &self,
        left: Left<'_>,
        right: Right<'_>,
        products: &mut [Lanes],
    ) -> usize {
        let sums = block::<I, ROWS, LANES, V>(left, right);
        for v in 0..V {
            let products = &mut products[v * POINTS * self.tiles.per_group()..];
            store::<I, ROWS>(pick::<I, ROWS, V>(&sums, v), products, 1);
        }
        ROWS
    }

    /// Turns sixteen channels' products into outputs.
    #[inline(always)]
    fn write<I: Instructions>(&self, first_output: usize, products: &[Lanes], rows: &mut [Lanes]) {
        let tiles = self.tiles;
        let (pixels, per_group, width) = (tiles.h * tiles.w, tiles.per_group(), tiles.per_row * TILE);
        let channels = (self.outputs - first_output).min(LANES);
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
            let first_plane = (tile_row.sample * self.outputs + first_output) * pixels;
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
            let start = (sample * self.outputs + first) % bias.len();
            lanes[..channels].copy_from_slice(&bias[start..start + channels]);
        }
        lanes
    }
}
