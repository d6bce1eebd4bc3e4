//! The matrix product at one point, over operands of sixteen channels side by side.

#![expect(unsafe_code, reason = "bounds are checked once for a block, not once for each of its loads")]
#![expect(clippy::inline_always, reason = "a `Loop` that is not inlined keeps the baseline's instructions")]

use super::lanes::Lanes;
use crate::isa::Instructions;

/// The rows of a product's left factor `a`: element `(row, [outer, inner])` is
/// `a[row * ROW + outer * outer_stride + inner * inner_stride]`.
#[derive(Clone, Copy)]
pub(super) struct Left<'a> {
    pub(super) data: &'a [f32],
    pub(super) outer: (usize, usize),
    pub(super) inner: (usize, usize),
}

/// The right factor: row `[outer, inner]` has vectors `data[outer * outer_stride + inner + v * vector_stride]`.
#[derive(Clone, Copy)]
pub(super) struct Right<'a> {
    pub(super) data: &'a [Lanes],
    pub(super) outer_stride: usize,
    pub(super) vector_stride: usize,
}

/// `ROWS` rows times `V` vectors of `left * right`, the sums staying in registers.
///
/// `left.outer` and `left.inner` are each `(count, stride)`; rows of the left factor are `ROW` floats apart. Every
/// outer step has sums of its own: one running sum over hundreds of steps would round more than all the transforms
/// together.
#[inline(always)]
pub(super) fn block<I: Instructions, const ROWS: usize, const ROW: usize, const V: usize>(
    left: Left<'_>,
    right: Right<'_>,
) -> [[I::Vector; V]; ROWS] {
    let ((outer, left_outer), (inner, left_inner)) = (left.outer, left.inner);
    let mut totals = [[I::splat(0.0); V]; ROWS];
    if outer == 0 || inner == 0 {
        return totals;
    }
    let last_left = (ROWS - 1) * ROW + (outer - 1) * left_outer + (inner - 1) * left_inner;
    let last_right = (outer - 1) * right.outer_stride + (inner - 1) + (V - 1) * right.vector_stride;
    assert!(last_left < left.data.len() && last_right < right.data.len(), "a product leaves its operands");
    for o in 0..outer {
        let mut sums = [[I::splat(0.0); V]; ROWS];
        for i in 0..inner {
            let mut b = [I::splat(0.0); V];
            for (v, b) in b.iter_mut().enumerate() {
                let at = o * right.outer_stride + i + v * right.vector_stride;
                // SAFETY: with every index below its count, `at` is at most `last_right`.
                *b = I::load(unsafe { right.data.get_unchecked(at) });
            }
            for (r, sums) in sums.iter_mut().enumerate() {
                // SAFETY: likewise at most `last_left`.
                let a = unsafe { *left.data.get_unchecked(r * ROW + o * left_outer + i * left_inner) };
                for (sum, b) in sums.iter_mut().zip(b) {
                    *sum = I::fma(I::splat(a), b, *sum);
                }
            }
        }
        for (totals, sums) in totals.iter_mut().zip(sums) {
            for (total, sum) in totals.iter_mut().zip(sums) {
                *total = I::add(*total, sum);
            }
        }
    }
    totals
}
