//! Numbers drawn from an integer hash, the same bits here and in `fixtures/oracle.py`.

use std::collections::BTreeMap;

use candle_core::{Device, Result, Shape, Tensor};

/// FNV-1a, 64 bits.
fn fnv1a(text: &str) -> u64 {
    text.bytes().fold(0xCBF2_9CE4_8422_2325, |h, byte| (h ^ u64::from(byte)).wrapping_mul(0x100_0000_01B3))
}

/// Endless pseudo-random 24-bit integers: `SplitMix64` started at the FNV-1a hash of `key`.
fn hash_bits(key: &str) -> impl Iterator<Item = u64> {
    let mut state = fnv1a(key);
    std::iter::repeat_with(move || {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) >> 40
    })
}

/// Tensor of `offset + scale * u` with `u` uniform on `[-1, 1)`, `f32` on the CPU.
///
/// The arithmetic is `f64` and rounded once, so both languages get the same bits.
///
/// # Errors
/// None of its own; candle's, should the tensor not fit.
pub fn hashed(key: &str, shape: impl Into<Shape>, scale: f64, offset: f64) -> Result<Tensor> {
    let shape = shape.into();
    let half_range = f64::from(1 << 23);
    let affine = |bits: u64| (offset + scale * (bits as f64 / half_range - 1.0)) as f32;
    let values: Vec<f32> = hash_bits(key).take(shape.elem_count()).map(affine).collect();
    Tensor::from_vec(values, shape, &Device::Cpu)
}

/// `n` integers on `[low, high)`, which must not be empty.
pub fn hashed_ints(key: &str, n: usize, low: u32, high: u32) -> Vec<u32> {
    let width = u64::from(high - low);
    hash_bits(key).take(n).map(|bits| low + (bits % width) as u32).collect()
}

/// A generic non-zero value for every parameter, so that no term of a formula can hide behind a
/// zero: the rule by which the oracle fills its networks.
///
/// - `specs`: name and shape of each parameter
/// - `key`: for example `seed7.student`; a parameter is drawn from `KEY.NAME`
///
/// Matrices and kernels are uniform with variance `1 / fan_in`; vectors lie within 0.1 of 1
/// (weights of norms) or of 0 (biases). Names ending in `emb_layer.weight` are left out: those
/// keep their sinusoidal table.
///
/// # Errors
/// As [`hashed`].
pub fn fill<N, S>(specs: impl IntoIterator<Item = (N, S)>, key: &str) -> Result<BTreeMap<String, Tensor>>
where
    N: Into<String>,
    S: Into<Shape>,
{
    let named = specs.into_iter().map(|(name, shape)| (name.into(), shape.into()));
    named
        .filter(|(name, _)| !name.ends_with("emb_layer.weight"))
        .map(|(name, shape)| {
            let value = filled(&name, shape, &format!("{key}.{name}"))?;
            Ok((name, value))
        })
        .collect()
}

fn filled(name: &str, shape: Shape, key: &str) -> Result<Tensor> {
    if shape.rank() > 1 {
        let fan_in: usize = shape.dims()[1..].iter().product();
        hashed(key, shape, (3.0 / fan_in as f64).sqrt(), 0.0)
    } else {
        hashed(key, shape, 0.1, if name.ends_with("weight") { 1.0 } else { 0.0 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fnv1a_gives_its_published_test_vectors() {
        assert_eq!(fnv1a(""), 0xCBF2_9CE4_8422_2325);
        assert_eq!(fnv1a("a"), 0xAF63_DC4C_8601_EC8C);
        assert_eq!(fnv1a("foobar"), 0x8594_4171_F739_67E8);
    }

    #[test]
    fn integers_stay_in_range_and_vary() {
        let ints = hashed_ints("seed7.index", 1000, 1, 49);
        assert!(ints.iter().all(|i| (1..49).contains(i)));
        assert_eq!((ints.iter().min(), ints.iter().max()), (Some(&1), Some(&48)));
    }
}
