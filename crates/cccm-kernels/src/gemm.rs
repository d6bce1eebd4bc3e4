//! Matrix product on slices: the bounds are checked once, then the `gemm` crate does the work.

#![expect(unsafe_code, reason = "the `gemm` crate takes raw pointers")]

use std::ops::Range;

use gemm::Parallelism;

/// A matrix inside a slice: element `(i, j)` is `data[i * strides[0] + j * strides[1]]`.
#[derive(Clone, Copy)]
pub(crate) struct Mat<'a> {
    data: &'a [f32],
    shape: [usize; 2],
    strides: [usize; 2],
}

impl<'a> Mat<'a> {
    pub(crate) fn new(data: &'a [f32], shape: [usize; 2], strides: [usize; 2]) -> Self {
        assert!(fits(data.len(), shape, strides), "{shape:?} with strides {strides:?} leaves its slice");
        Self { data, shape, strides }
    }

    /// Rows one after the other, without gaps.
    pub(crate) fn row_major(data: &'a [f32], shape: [usize; 2]) -> Self {
        Self::new(data, shape, [shape[1], 1])
    }

    pub(crate) fn rows(self, rows: Range<usize>) -> Self {
        assert!(rows.start < rows.end && rows.end <= self.shape[0], "rows {rows:?} of {:?}", self.shape);
        let data = &self.data[rows.start * self.strides[0]..];
        Self { data, shape: [rows.len(), self.shape[1]], ..self }
    }

    pub(crate) fn cols(self, cols: Range<usize>) -> Self {
        self.transposed().rows(cols).transposed()
    }

    pub(crate) fn transposed(self) -> Self {
        let ([rows, cols], [row_stride, col_stride]) = (self.shape, self.strides);
        Self { data: self.data, shape: [cols, rows], strides: [col_stride, row_stride] }
    }
}

/// Whether the last element is inside; a place beyond all numbers is not.
fn fits(len: usize, [rows, cols]: [usize; 2], [row_stride, col_stride]: [usize; 2]) -> bool {
    if rows == 0 || cols == 0 {
        return true;
    }
    let (row, col) = ((rows - 1).checked_mul(row_stride), (cols - 1).checked_mul(col_stride));
    row.zip(col).and_then(|(row, col)| row.checked_add(col)).is_some_and(|last| last < len)
}

/// `out += a · b` on this thread, where row `i` of `out` starts at `i * row_stride`.
pub(crate) fn gemm_add(out: &mut [f32], row_stride: usize, a: Mat<'_>, b: Mat<'_>) {
    let ([rows, inner], [b_rows, cols]) = (a.shape, b.shape);
    assert_eq!(inner, b_rows, "inner dimensions of a matrix product");
    assert!(fits(out.len(), [rows, cols], [row_stride, 1]), "product {rows}x{cols} leaves its slice");
    // SAFETY: `Mat::new` and the asserts above keep every element that `gemm` reads or writes inside its slice, and
    // `out` is borrowed mutably, so it overlaps neither operand.
    unsafe {
        gemm::gemm(
            rows,
            cols,
            inner,
            out.as_mut_ptr(),
            1,
            row_stride as isize,
            true,
            a.data.as_ptr(),
            a.strides[1] as isize,
            a.strides[0] as isize,
            b.data.as_ptr(),
            b.strides[1] as isize,
            b.strides[0] as isize,
            1.0,
            1.0,
            false,
            false,
            false,
            Parallelism::None,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adds_the_product_of_strided_matrices() {
        let a = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]; // (2, 3)
        let b = [1.0, 0.0, 2.0, 1.0, 0.0, 3.0]; // (3, 2) transposed
        let mut out = [10.0, 0.0, -1.0, 0.0, 0.0, 0.0];
        gemm_add(&mut out, 3, Mat::row_major(&a, [2, 3]), Mat::row_major(&b, [2, 3]).transposed());
        assert_eq!(out, [17.0, 10.0, -1.0, 16.0, 22.0, 0.0]);
    }

    #[test]
    fn sizes_beyond_all_numbers_do_not_fit() {
        const HALF: usize = 1 << (usize::BITS - 1);
        assert!(fits(72, [72, 1], [1, 1]) && fits(0, [0, HALF], [HALF, 1]));
        // `(rows - 1) * (HALF + 1)`, `rows - 1` even, wraps to `rows - 1`.
        for (shape, strides) in [
            ([71, 2], [HALF + 1, 1]),
            ([2, 71], [1, HALF + 1]),
            ([2, 2], [usize::MAX, 1]),
            ([usize::MAX, 3], [1, HALF]),
            ([72, HALF + 1], [HALF + 1, 1]),
        ] {
            assert!(!fits(72, shape, strides), "{shape:?} with strides {strides:?}");
        }
    }

    #[test]
    #[should_panic(expected = "leaves its slice")]
    fn a_product_larger_than_its_slice_is_refused() {
        let a = [1.0; 4];
        gemm_add(&mut [0.0; 3], 2, Mat::row_major(&a, [2, 2]), Mat::row_major(&a, [2, 2]));
    }
}
