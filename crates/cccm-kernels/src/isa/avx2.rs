//! AVX2 and FMA through their intrinsics: left to the compiler, a matrix product is three times slower.

use std::arch::x86_64::{
    __m256, _MM_HINT_T0, _mm_prefetch, _mm256_add_ps, _mm256_castpd_ps, _mm256_castps_pd, _mm256_fmadd_ps,
    _mm256_loadu_ps, _mm256_mul_ps, _mm256_permute2f128_ps, _mm256_set1_ps, _mm256_storeu_ps, _mm256_sub_ps,
    _mm256_unpackhi_pd, _mm256_unpackhi_ps, _mm256_unpacklo_pd, _mm256_unpacklo_ps,
};
use std::array::from_fn;

use super::{Instructions, Lanes};

/// AVX2 and FMA. Only [`Isa::run`](super::Isa::run) may choose it, with the proof that the CPU has them: every SAFETY
/// line below rests on that.
pub(super) struct Halves;

impl Instructions for Halves {
    const REGISTERS: usize = 8;

    type Vector = [__m256; 2];

    #[inline(always)]
    fn mul_add(a: f32, b: f32, c: f32) -> f32 {
        a.mul_add(b, c)
    }

    #[inline(always)]
    fn load(lanes: &Lanes) -> [__m256; 2] {
        // SAFETY: see `Halves`; `lanes` holds 16 floats.
        unsafe { [_mm256_loadu_ps(lanes.as_ptr()), _mm256_loadu_ps(lanes.as_ptr().add(8))] }
    }

    #[inline(always)]
    fn store([low, high]: [__m256; 2], lanes: &mut Lanes) {
        // SAFETY: see `Halves`; `lanes` holds 16 floats.
        unsafe {
            _mm256_storeu_ps(lanes.as_mut_ptr(), low);
            _mm256_storeu_ps(lanes.as_mut_ptr().add(8), high);
        }
    }

    #[inline(always)]
    fn splat(value: f32) -> [__m256; 2] {
        // SAFETY: see `Halves`.
        let half = unsafe { _mm256_set1_ps(value) };
        [half, half]
    }

    #[inline(always)]
    fn add(a: [__m256; 2], b: [__m256; 2]) -> [__m256; 2] {
        // SAFETY: see `Halves`.
        unsafe { [_mm256_add_ps(a[0], b[0]), _mm256_add_ps(a[1], b[1])] }
    }

    #[inline(always)]
    fn sub(a: [__m256; 2], b: [__m256; 2]) -> [__m256; 2] {
        // SAFETY: see `Halves`.
        unsafe { [_mm256_sub_ps(a[0], b[0]), _mm256_sub_ps(a[1], b[1])] }
    }

    #[inline(always)]
    fn mul(a: [__m256; 2], b: [__m256; 2]) -> [__m256; 2] {
        // SAFETY: see `Halves`.
        unsafe { [_mm256_mul_ps(a[0], b[0]), _mm256_mul_ps(a[1], b[1])] }
    }

    #[inline(always)]
    fn fma(a: [__m256; 2], b: [__m256; 2], c: [__m256; 2]) -> [__m256; 2] {
        // SAFETY: see `Halves`.
        unsafe { [_mm256_fmadd_ps(a[0], b[0], c[0]), _mm256_fmadd_ps(a[1], b[1], c[1])] }
    }

    #[inline(always)]
    fn prefetch(values: &[f32]) {
        // SAFETY: a prefetch has no effect on the program, whatever the address.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(values.as_ptr().cast()) };
    }

    #[inline(always)]
    fn transpose(rows: [&Lanes; 16], columns: &mut [Lanes; 16]) {
        // SAFETY: see `Halves`.
        unsafe { transpose(rows, columns) }
    }
}

/// Four blocks of 8 × 8: within each, pairs of rows exchange elements, then pairs of pairs, then halves of the vectors.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn transpose(rows: [&Lanes; 16], columns: &mut [Lanes; 16]) {
    for (first, left) in [(0, 0), (0, 8), (8, 0), (8, 8)] {
        // SAFETY: `left` is 0 or 8, and a row has 16 floats.
        let block: [__m256; 8] = from_fn(|i| unsafe { _mm256_loadu_ps(rows[first + i].as_ptr().add(left)) });
        let pairs: [__m256; 8] = from_fn(|i| {
            let (a, b) = (block[i & !1], block[i | 1]);
            if i & 1 == 0 { _mm256_unpacklo_ps(a, b) } else { _mm256_unpackhi_ps(a, b) }
        });
        // In both halves: column `i % 4` of four rows.
        let fours: [__m256; 8] = from_fn(|i| {
            let from = (i & !3) | (i >> 1 & 1);
            let (a, b) = (_mm256_castps_pd(pairs[from]), _mm256_castps_pd(pairs[from + 2]));
            _mm256_castpd_ps(if i & 1 == 0 { _mm256_unpacklo_pd(a, b) } else { _mm256_unpackhi_pd(a, b) })
        });
        for i in 0..8 {
            let (a, b) = (fours[i & 3], fours[4 + (i & 3)]);
            let column = if i < 4 {
                _mm256_permute2f128_ps::<0x20>(a, b)
            } else {
                _mm256_permute2f128_ps::<0x31>(a, b)
            };
            // SAFETY: `first` is 0 or 8, and a column has 16 floats.
            unsafe { _mm256_storeu_ps(columns[left + i].as_mut_ptr().add(first), column) };
        }
    }
}
