use candle_core::{DType, Result, Tensor, Var};

use super::*;
use crate::testing::{assert_close, strided, values};

const FIRST: ImageLayout = ImageLayout::ChannelsFirst;
const KEYS: [[u64; 4]; 2] = [[1, 2, 3, 4], [u64::MAX, 0, 7, 8]];

fn mask(p: f64) -> Result<Tensor> {
    dropout(&Tensor::ones((2, 3, 5, 7), DType::F32, &candle_core::Device::Cpu)?, &KEYS, p, FIRST)
}

#[test]
fn values_are_dropped_or_scaled_and_gradients_alike() -> Result<()> {
    let x = Var::from_tensor(&values(&[2, 3, 5, 7], 1)?)?;
    let y = dropout(&x, &KEYS, 0.3, FIRST)?;
    assert_close("value", &y, &(x.as_tensor() * mask(0.3)?)?, 0.0);
    let direction = values(&[2, 3, 5, 7], 2)?;
    let grads = (&y * &direction)?.sum_all()?.backward()?;
    assert_close("gradient", grads.get(&x).unwrap(), &(direction * mask(0.3)?)?, 0.0);
    assert_close("nothing dropped", &dropout(&x, &KEYS, 0.0, FIRST)?, &x, 0.0);
    assert_close("strided", &dropout(&strided(&x)?, &KEYS, 0.3, FIRST)?, &y, 0.0);
    Ok(())
}

#[test]
fn masks_are_those_of_the_keys() -> Result<()> {
    let all = mask(0.25)?.flatten_all()?.to_vec1::<f32>()?;
    let dropped = all.iter().filter(|value| **value == 0.0).count();
    assert!((30..75).contains(&dropped), "{dropped} of {}", all.len());
    assert!(all.iter().all(|value| [0.0, 1.0 / 0.75].contains(value)));
    // By the generator itself: the first values of the second sample.
    let mut seed = [0; 32];
    for (bytes, word) in seed.chunks_exact_mut(8).zip(KEYS[1]) {
        bytes.copy_from_slice(&word.to_le_bytes());
    }
    let word = ChaCha8Rng::from_seed(seed).next_u32();
    let stays = [word & 0xffff, word >> 16].map(|bits| bits >= 1 << 14);
    assert_eq!(all[105..107].iter().map(|value| *value > 0.0).collect::<Vec<_>>(), stays);
    Ok(())
}

#[test]
fn other_layouts_and_dtypes_have_the_same_masks() -> Result<()> {
    let (x, last) = (values(&[2, 3, 5, 7], 1)?, ImageLayout::ChannelsLast);
    let want = dropout(&x, &KEYS, 0.3, FIRST)?;
    let got = last.convert(&dropout(&FIRST.convert(&x, last)?, &KEYS, 0.3, last)?, FIRST)?;
    assert_close("channels last", &got, &want, 0.0);
    for (dtype, tolerance) in [(DType::F64, 1e-6), (DType::BF16, 1e-2)] {
        let got = dropout(&x.to_dtype(dtype)?, &KEYS, 0.3, FIRST)?;
        assert_eq!(got.dtype(), dtype);
        assert_close(&format!("{dtype:?}"), &got, &want, tolerance);
    }
    Ok(())
}

#[test]
fn what_does_not_fit_is_named() -> Result<()> {
    let x = values(&[2, 3, 5, 7], 1)?;
    let message = |keys: &[[u64; 4]], p| dropout(&x, keys, p, FIRST).unwrap_err().to_string();
    assert!(message(&KEYS[..1], 0.1).contains("1 keys for 2 samples"));
    assert!(message(&KEYS, 1.0).contains("`p` is 1"));
    assert!(message(&KEYS, f64::NAN).contains("`p` is NaN"));
    assert_eq!(dropout(&values(&[0, 3, 5, 7], 1)?, &[], 0.1, FIRST)?.dims(), [0, 3, 5, 7]);
    Ok(())
}
