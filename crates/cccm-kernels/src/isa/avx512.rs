//! AVX-512 through its intrinsics: the compiler keeps no sums of a matrix product in registers by itself.

use std::arch::x86_64::{
    __m512, _MM_HINT_T0, _mm_prefetch, _mm512_add_ps, _mm512_castpd_ps, _mm512_castps_pd, _mm512_fmadd_ps,
    _mm512_loadu_ps, _mm512_mul_ps, _mm512_set1_ps, _mm512_shuffle_f32x4, _mm512_storeu_ps, _mm512_sub_ps,
    _mm512_unpackhi_pd, _mm512_unpackhi_ps, _mm512_unpacklo_pd, _mm512_unpacklo_ps,
};
use std::array::from_fn;

use super::{Instructions, Lanes};

/// AVX-512F. Only [`Isa::run`](super::Isa::run) may choose it, with the proof that the CPU has it: every SAFETY line
/// below rests on that.
pub(super) struct Wide;

impl Instructions for Wide {
    const REGISTERS: usize = 32;

    type Vector = __m512;

    #[inline(always)]
    fn mul_add(a: f32, b: f32, c: f32) -> f32 {
        a.mul_add(b, c)
    }

    #[inline(always)]
    fn load(lanes: &Lanes) -> __m512 {
        // SAFETY: see `Wide`; `lanes` holds 16 floats.
        unsafe { _mm512_loadu_ps(lanes.as_ptr()) }
    }

    #[inline(always)]
    fn store(vector: __m512, lanes: &mut Lanes) {
        // SAFETY: see `Wide`; `lanes` holds 16 floats.
        unsafe { _mm512_storeu_ps(lanes.as_mut_ptr(), vector) }
    }

    #[inline(always)]
    fn splat(value: f32) -> __m512 {
        // SAFETY: see `Wide`.
        unsafe { _mm512_set1_ps(value) }
    }

    #[inline(always)]
    fn add(a: __m512, b: __m512) -> __m512 {
        // SAFETY: see `Wide`.
        unsafe { _mm512_add_ps(a, b) }
    }

    #[inline(always)]
    fn sub(a: __m512, b: __m512) -> __m512 {
        // SAFETY: see `Wide`.
        unsafe { _mm512_sub_ps(a, b) }
    }

    #[inline(always)]
    fn mul(a: __m512, b: __m512) -> __m512 {
        // SAFETY: see `Wide`.
        unsafe { _mm512_mul_ps(a, b) }
    }

    #[inline(always)]
    fn fma(a: __m512, b: __m512, c: __m512) -> __m512 {
        // SAFETY: see `Wide`.
        unsafe { _mm512_fmadd_ps(a, b, c) }
    }

    #[inline(always)]
    fn prefetch(values: &[f32]) {
        // SAFETY: a prefetch has no effect on the program, whatever the address.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(values.as_ptr().cast()) };
    }

    #[inline(always)]
    fn transpose(rows: [&Lanes; 16], columns: &mut [Lanes; 16]) {
        // SAFETY: see `Wide`.
        unsafe { transpose(rows, columns) }
    }
}

/// Pairs of rows exchange elements, then pairs of pairs, then quarters of the vectors.
/// Element by element it would be 512 loads and stores.
#[inline]
#[target_feature(enable = "avx512f")]
fn transpose(rows: [&Lanes; 16], columns: &mut [Lanes; 16]) {
    let rows: [__m512; 16] = from_fn(|i| Wide::load(rows[i]));
    // In every quarter: columns 0 and 1, or 2 and 3, of two rows.
    let pairs: [__m512; 16] = from_fn(|i| {
        let (a, b) = (rows[i & !1], rows[i | 1]);
        if i & 1 == 0 { _mm512_unpacklo_ps(a, b) } else { _mm512_unpackhi_ps(a, b) }
    });
    // In every quarter: column `i % 4` of four rows.
    let fours: [__m512; 16] = from_fn(|i| {
        let first = (i & !3) | (i >> 1 & 1);
        let (a, b) = (_mm512_castps_pd(pairs[first]), _mm512_castps_pd(pairs[first + 2]));
        _mm512_castpd_ps(if i & 1 == 0 { _mm512_unpacklo_pd(a, b) } else { _mm512_unpackhi_pd(a, b) })
    });
    // Quarters 0 and 2, or 1 and 3, of rows 0..4 with 4..8, and of rows 8..12 with 12..16.
    let eights: [__m512; 16] = from_fn(|i| {
        let (half, odd, column) = (i & 8, i >> 2 & 1, i & 3);
        let (a, b) = (fours[half + column], fours[half + 4 + column]);
        if odd == 0 { _mm512_shuffle_f32x4::<0x88>(a, b) } else { _mm512_shuffle_f32x4::<0xdd>(a, b) }
    });
    for (i, to) in columns.iter_mut().enumerate() {
        let (quarter, column) = (i >> 2, i & 3);
        let from = (quarter & 1) * 4 + column;
        let (a, b) = (eights[from], eights[from + 8]);
        let row =
            if quarter < 2 { _mm512_shuffle_f32x4::<0x88>(a, b) } else { _mm512_shuffle_f32x4::<0xdd>(a, b) };
        Wide::store(row, to);
    }
}
