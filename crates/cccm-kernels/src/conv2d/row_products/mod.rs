//! Products of every row of one matrix with every row of another: `a · bᵀ`, where both lie in memory along the sum.
//! A general matrix product would first copy them into another order.

#![expect(unsafe_code, reason = "vector loads and stores take raw pointers")]

mod sum_lanes;

use std::arch::x86_64::{_mm512_fmadd_ps, _mm512_loadu_ps, _mm512_setzero_ps};

use crate::isa::Avx512;
use sum_lanes::{LANES, add_sums};

/// Rows of `a` and of `b` in a block: 24 of the 32 registers are sums.
const A_ROWS: usize = 4;
const B_ROWS: usize = 6;

/// Where rows are shorter than this, a general matrix product is faster: it has fewer sums to add up.
pub(super) const MIN_ROW_LEN: usize = 512;

/// `out += a · bᵀ`, where `a` and `b` consist of rows of `row_len` floats, a multiple of 16, and row `i` of `out` starts
/// at `i * out_stride`.
pub(super) fn add_row_products(
    _: Avx512,
    out: &mut [f32],
    out_stride: usize,
    a: &[f32],
    b: &[f32],
    row_len: usize,
) {
    assert!(row_len.is_multiple_of(LANES), "rows of {row_len} floats are not whole vectors");
    // The fewer rows of `b` stay in the first-level cache while all of `a` goes by.
    for (j, b) in b.chunks(B_ROWS * row_len).enumerate() {
        for (i, a) in a.chunks(A_ROWS * row_len).enumerate() {
            let mut sums = [0.0; 2 * LANES];
            // SAFETY: the first argument proves that the CPU has AVX-512F.
            unsafe { add_block(a, b, row_len, &mut sums) };
            let (a_rows, b_rows) = (a.len() / row_len, b.len() / row_len);
            for (m, sums) in sums.chunks_exact(B_ROWS).take(a_rows).enumerate() {
                let out = &mut out[(i * A_ROWS + m) * out_stride + j * B_ROWS..][..b_rows];
                out.iter_mut().zip(sums).for_each(|(out, sum)| *out += sum);
            }
        }
    }
}

/// Adds the products of up to 4 rows with up to 6 to `sums (4, 6)`.
#[target_feature(enable = "avx512f")]
fn add_block(a: &[f32], b: &[f32], row_len: usize, sums: &mut [f32; 2 * LANES]) {
    // Where rows are missing, the first one stands in, and nobody reads the sums.
    let row = |matrix: &'_ [f32], i: usize| if (i + 1) * row_len <= matrix.len() { i * row_len } else { 0 };
    let a: [&[f32]; A_ROWS] = std::array::from_fn(|i| &a[row(a, i)..][..row_len]);
    let b: [&[f32]; B_ROWS] = std::array::from_fn(|i| &b[row(b, i)..][..row_len]);

    let mut lanes = [[_mm512_setzero_ps(); B_ROWS]; A_ROWS];
    for at in (0..row_len / LANES).map(|v| v * LANES) {
        let mut x = [_mm512_setzero_ps(); B_ROWS];
        for (x, b) in x.iter_mut().zip(&b) {
            // SAFETY: `at` is a multiple of 16 below `row_len`, which is another, and the row's length.
            *x = unsafe { _mm512_loadu_ps(b.as_ptr().add(at)) };
        }
        for (lanes, a) in lanes.iter_mut().zip(&a) {
            // SAFETY: as above.
            let a = unsafe { _mm512_loadu_ps(a.as_ptr().add(at)) };
            for (lanes, x) in lanes.iter_mut().zip(&x) {
                *lanes = _mm512_fmadd_ps(a, *x, *lanes);
            }
        }
    }
    add_sums(lanes, sums);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gemm::{Mat, gemm_add};
    use crate::isa::Isa;

    #[test]
    fn equals_a_general_matrix_product() {
        let Isa::Avx512(cpu) = Isa::detect() else { return };
        for (a_rows, b_rows, row_len) in [(1, 1, 16), (4, 6, 48), (5, 13, 32), (3, 7, 160)] {
            let values = |len: usize, seed: usize| -> Vec<f32> {
                (0..len).map(|i| ((i + seed) * 7919 % 31) as f32 - 15.0).collect()
            };
            let (a, b) = (values(a_rows * row_len, 1), values(b_rows * row_len, 2));
            let stride = b_rows + 3;
            let mut got = values(a_rows * stride, 3);
            let mut want = got.clone();
            add_row_products(cpu, &mut got, stride, &a, &b, row_len);
            let b = Mat::row_major(&b, [b_rows, row_len]).transposed();
            gemm_add(&mut want, stride, Mat::row_major(&a, [a_rows, row_len]), b);
            assert_eq!(got, want, "{a_rows}x{b_rows}x{row_len}");
        }
    }
}
