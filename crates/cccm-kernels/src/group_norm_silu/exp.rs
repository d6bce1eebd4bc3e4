//! The exponential function in operations that a compiler can vectorise; the standard library's is a call per value.

#![expect(clippy::inline_always, reason = "a `Loop` that is not inlined keeps the baseline's instructions")]

use crate::isa::Instructions;

/// `1 / (1 + exp(-z))`.
#[inline(always)]
pub(super) fn sigmoid<I: Instructions>(z: f32) -> f32 {
    1.0 / (1.0 + exp::<I>(-z))
}

/// `e^x` within 2 units in the last place for `-87 <= x <= 88`, the value at the nearer bound outside, NaN for NaN: `e^x = 2^n * e^r`
/// with whole `n` and `|r| <= ln(2) / 2`; the polynomial for `e^r` is that of Cephes' `expf`.
#[inline(always)]
fn exp<I: Instructions>(x: f32) -> f32 {
    // Adding 1.5 * 2^23 leaves no bits for a fraction: the sum's last bits are n, rounded.
    const ROUND: f32 = 12_582_912.0;
    // ln(2) in two parts, the first short enough that n times it is exact.
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;

    let x = x.clamp(-87.0, 88.0);
    let shifted = I::mul_add(x, std::f32::consts::LOG2_E, ROUND);
    let n = shifted - ROUND;
    let r = I::mul_add(n, -LN2_LOW, I::mul_add(n, -LN2_HIGH, x));
    let mut p = 1.987_569_1e-4;
    for coefficient in [1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5] {
        p = I::mul_add(p, r, coefficient);
    }
    let exp_r = I::mul_add(p, r * r, r) + 1.0;
    // The bits of ROUND above n shift out; 127 is the exponent's bias.
    let two_to_n = f32::from_bits(shifted.to_bits().wrapping_add(127) << 23);
    exp_r * two_to_n
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::isa::{Fused, Plain};

    #[test]
    fn exp_is_accurate_over_its_range() {
        for i in -87_000..=88_000 {
            let x = i as f32 / 1000.0;
            let want = f64::from(x).exp();
            for got in [exp::<Fused>(x), exp::<Plain>(x)] {
                let error = ((f64::from(got) - want) / want).abs();
                assert!(error < 2.0 * f64::from(f32::EPSILON), "exp({x}) = {got}, want {want}");
            }
        }
    }

    #[test]
    fn sigmoid_saturates_and_keeps_nan() {
        assert_eq!(sigmoid::<Plain>(f32::INFINITY), 1.0);
        assert_eq!(sigmoid::<Plain>(0.0), 0.5);
        assert!(sigmoid::<Plain>(f32::NEG_INFINITY) < 1e-37);
        assert!(sigmoid::<Plain>(f32::NAN).is_nan());
    }
}
