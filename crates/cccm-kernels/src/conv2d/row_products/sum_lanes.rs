//! Sums over the lanes of many vectors at once.

use std::arch::x86_64::{
    __m512, _mm512_add_ps, _mm512_castpd_ps, _mm512_castps_pd, _mm512_setzero_ps, _mm512_shuffle_f32x4,
    _mm512_storeu_ps, _mm512_unpackhi_pd, _mm512_unpackhi_ps, _mm512_unpacklo_pd, _mm512_unpacklo_ps,
};

/// Floats of a vector.
pub(super) const LANES: usize = 16;

/// Adds to each of the sums, in order, the sum over the lanes of a vector. There are at most 32 vectors; sums beyond
/// these stay.
///
/// Takes the vectors by value: behind a reference they could not stay in registers in the loop before.
#[target_feature(enable = "avx512f")]
pub(super) fn add_sums<const M: usize, const N: usize>(
    vectors: [[__m512; N]; M],
    sums: &mut [f32; 2 * LANES],
) {
    for (vectors, sums) in vectors.as_flattened().chunks(LANES).zip(sums.as_chunks_mut::<LANES>().0) {
        let mut block = [_mm512_setzero_ps(); LANES];
        block[..vectors.len()].copy_from_slice(vectors);
        let mut added = [0.0; LANES];
        // SAFETY: `added` holds 16 floats.
        unsafe { _mm512_storeu_ps(added.as_mut_ptr(), sum_lanes(&block)) };
        sums.iter_mut().zip(added).for_each(|(sum, added)| *sum += added);
    }
}

/// Lane `i` is the sum over the lanes of `vectors[i]`.
#[target_feature(enable = "avx512f")]
fn sum_lanes(vectors: &[__m512; LANES]) -> __m512 {
    // Each step adds one half of the lanes of two vectors to the other and packs the two results into one vector. The
    // first two steps work within quarters of four lanes, the last two on whole quarters.
    let mut quarters = [_mm512_setzero_ps(); 4];
    for (quarter, [a, b, c, d]) in quarters.iter_mut().zip(vectors.as_chunks::<4>().0) {
        let ab = _mm512_add_ps(_mm512_unpacklo_ps(*a, *b), _mm512_unpackhi_ps(*a, *b));
        let cd = _mm512_add_ps(_mm512_unpacklo_ps(*c, *d), _mm512_unpackhi_ps(*c, *d));
        let (ab, cd) = (_mm512_castps_pd(ab), _mm512_castps_pd(cd));
        let low = _mm512_castpd_ps(_mm512_unpacklo_pd(ab, cd));
        let high = _mm512_castpd_ps(_mm512_unpackhi_pd(ab, cd));
        *quarter = _mm512_add_ps(low, high);
    }
    let [a, b, c, d] = quarters;
    // Quarters 0 and 1 of both, plus quarters 2 and 3 of both.
    let ab = _mm512_add_ps(
        _mm512_shuffle_f32x4::<0b01_00_01_00>(a, b),
        _mm512_shuffle_f32x4::<0b11_10_11_10>(a, b),
    );
    let cd = _mm512_add_ps(
        _mm512_shuffle_f32x4::<0b01_00_01_00>(c, d),
        _mm512_shuffle_f32x4::<0b11_10_11_10>(c, d),
    );
    // Quarters 0 and 2 of both, plus quarters 1 and 3 of both.
    _mm512_add_ps(
        _mm512_shuffle_f32x4::<0b10_00_10_00>(ab, cd),
        _mm512_shuffle_f32x4::<0b11_01_11_01>(ab, cd),
    )
}

#[cfg(test)]
mod tests {
    use std::arch::x86_64::_mm512_loadu_ps;

    use super::*;

    #[test]
    fn every_vector_is_summed_into_its_own_place() {
        if !std::arch::is_x86_feature_detected!("avx512f") {
            return;
        }
        let values: Vec<f32> = (0..27 * LANES).map(|i| (i * i % 101) as f32).collect();
        let mut sums = [0.5; 2 * LANES];
        // SAFETY: the CPU has AVX-512F, and each chunk holds 16 floats.
        unsafe {
            let mut vectors = [[_mm512_setzero_ps(); 9]; 3];
            for (vector, values) in vectors.as_flattened_mut().iter_mut().zip(values.as_chunks::<LANES>().0) {
                *vector = _mm512_loadu_ps(values.as_ptr());
            }
            add_sums(vectors, &mut sums);
        }
        for (i, got) in sums.iter().enumerate() {
            let want: f32 = values.iter().skip(i * LANES).take(LANES).sum();
            assert_eq!(*got, want + 0.5, "vector {i}");
        }
    }
}
