//! The gradient of the weights, from the points of inputs and output gradients.

#![expect(clippy::inline_always, reason = "a `Loop` that is not inlined keeps the baseline's instructions")]

use super::lanes::{LANES, Lanes, load, pick, scatter, store};
use super::points::{POINTS, SIDE, to_weight_grad};
use super::product::{Left, Right, block};
use crate::isa::{Instructions, Loop};

/// Taps of a filter.
const TAPS: usize = 9;
/// Input channels of a task.
pub(super) const INPUTS: usize = 8;
/// What a task adds to, for each sixteen output channels: `(8, 9)`.
pub(super) const SUMS: usize = INPUTS * TAPS;

/// Gradients of the filters from 8 input channels to up to two times sixteen output channels.
pub(super) struct WeightGrads<'a> {
    /// Groups of tiles, and tiles of each.
    pub(super) groups: usize,
    pub(super) per_group: usize,
    /// `(groups, inputs / 16, 36, per_group)`.
    pub(super) image: &'a [Lanes],
    pub(super) inputs: usize,
    pub(super) first_input: usize,
    /// `(groups, outputs / 16, 36, per_group)`.
    pub(super) output_grad: &'a [Lanes],
    pub(super) outputs: usize,
    pub(super) first_output: usize,
}

/// Adds to the sums of a [`WeightGrads`].
pub(super) struct AddWeightGrads<'a> {
    pub(super) task: WeightGrads<'a>,
    /// `(1 or 2, 8, 9)`
    pub(super) sums: &'a mut [Lanes],
    /// [`SCRATCH_LEN`] vectors.
    pub(super) scratch: &'a mut [Lanes],
}

/// Work memory of [`AddWeightGrads`].
pub(super) const SCRATCH_LEN: usize = 2 * INPUTS * POINTS;

impl Loop for AddWeightGrads<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Instructions>(self) {
        let vectors = self.sums.len() / SUMS;
        let products = &mut self.scratch[..vectors * INPUTS * POINTS];
        if I::REGISTERS >= 32 && vectors == 2 {
            self.task.multiply::<I, 8, 2>(0, products);
        } else {
            for (v, products) in products.chunks_exact_mut(INPUTS * POINTS).enumerate() {
                match I::REGISTERS {
                    8.. => self.task.multiply::<I, 4, 1>(v, products),
                    _ => self.task.multiply::<I, 2, 1>(v, products),
                }
            }
        }
        for (products, sums) in products.chunks_exact(POINTS).zip(self.sums.chunks_exact_mut(TAPS)) {
            let mut columns = [[I::splat(0.0); 3]; SIDE];
            for (x, column) in columns.iter_mut().enumerate() {
                *column = to_weight_grad::<I>(load::<I, SIDE>(&products[x..], SIDE));
            }
            for (y, row) in sums.chunks_exact_mut(3).enumerate() {
                let taps = to_weight_grad::<I>(pick::<I, SIDE, 3>(&columns, y));
                for (sum, tap) in row.iter_mut().zip(taps) {
                    I::store(I::add(I::load(sum), tap), sum);
                }
            }
        }
    }
}

impl WeightGrads<'_> {
    /// Products at all points, `(V, 8, 36)`, from the `first`-th group of output channels on.
    #[inline(always)]
    fn multiply<I: Instructions, const ROWS: usize, const V: usize>(
        &self,
        first: usize,
        products: &mut [Lanes],
    ) {
        let points = POINTS * self.per_group;
        let (inputs, outputs) = (self.inputs.div_ceil(LANES), self.outputs.div_ceil(LANES));
        let (input, lane) = (self.first_input / LANES, self.first_input % LANES);
        let output = self.first_output / LANES + first;
        for point in 0..POINTS {
            let right = Right {
                data: &self.output_grad[output * points + point * self.per_group..],
                outer_stride: outputs * points,
                vector_stride: points,
            };
            for row in (0..INPUTS).step_by(ROWS) {
                let image = &self.image[input * points + point * self.per_group..];
                let left = Left {
                    data: &image.as_flattened()[lane + row..],
                    outer: (self.groups, inputs * points * LANES),
                    inner: (self.per_group, LANES),
                };
                let sums = block::<I, ROWS, 1, V>(left, right);
                for v in 0..V {
                    let products = &mut products[(v * INPUTS + row) * POINTS + point..];
                    store::<I, ROWS>(pick::<I, ROWS, V>(&sums, v), products, POINTS);
                }
            }
        }
    }
}

/// Writes gradients in the order of the weights.
pub(super) struct FiltersFromSums<'a> {
    /// `(inputs / 8, 1 or 2, 8, 9)`, as the tasks have left it.
    pub(super) sums: &'a [Lanes],
    pub(super) inputs: usize,
    /// `(up to 16 or 32, inputs, 3, 3)`
    pub(super) filters: &'a mut [f32],
}

impl Loop for FiltersFromSums<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Instructions>(self) {
        let filter_len = self.inputs * TAPS;
        let outputs = self.filters.len() / filter_len;
        let vectors = outputs.div_ceil(LANES);
        for (i, sums) in self.sums.chunks_exact(SUMS).enumerate() {
            let (first, start) = (i % vectors * LANES, i / vectors * SUMS);
            let len = SUMS.min(filter_len - start);
            scatter::<I>((outputs - first).min(LANES), &sums[..len], |c, at, values| {
                self.filters[(first + c) * filter_len + start + at..][..values.len()].copy_from_slice(values);
            });
        }
    }
}
