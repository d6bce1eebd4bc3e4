use candle_core::{DType, Device, Result, Tensor};

use super::*;
use crate::testing::{assert_matches, strided, values};

const FIRST: ImageLayout = ImageLayout::ChannelsFirst;

#[test]
fn matches_candle() -> Result<()> {
    for (batch, a, b, h, w) in [(1, 1, 1, 1, 1), (3, 2, 5, 4, 7), (2, 9, 1, 1, 8)] {
        let args = [values(&[batch, a, h, w], 1)?, values(&[batch, b, h, w], 2)?];
        let candle = |args: &[Tensor]| Tensor::cat(&[&args[0], &args[1]], 1);
        let what = format!("{batch}x({a}+{b})x{h}x{w}");
        assert_matches(&what, &|args| cat_channels(&args[0], &args[1], FIRST), &candle, &args, 0.0);
        let of_strided =
            |args: &[Tensor]| cat_channels(&strided(&args[0])?, &strided(&args[1])?, FIRST)?.transpose(1, 3);
        assert_matches(&what, &of_strided, &|args| candle(args)?.transpose(1, 3), &args, 0.0);
    }
    Ok(())
}

#[test]
fn empty_batches_other_dtypes_and_what_does_not_fit() -> Result<()> {
    let zeros = |dtype, dims: &[usize]| Tensor::zeros(dims, dtype, &Device::Cpu);
    let cat = |dtype, a: &[usize], b: &[usize]| cat_channels(&zeros(dtype, a)?, &zeros(dtype, b)?, FIRST);
    assert_eq!(cat(DType::F32, &[0, 2, 3, 4], &[0, 5, 3, 4])?.dims(), [0, 7, 3, 4]);
    assert_eq!(cat(DType::F64, &[1, 2, 3, 4], &[1, 5, 3, 4])?.dtype(), DType::F64);
    let message = cat(DType::F32, &[1, 2, 3, 4], &[1, 2, 3, 5]).unwrap_err().to_string();
    assert!(message.contains("got [1, 2, 3, 4] and [1, 2, 3, 5]"), "{message}");
    Ok(())
}

#[test]
fn channels_last_is_the_same_in_another_order() -> Result<()> {
    let args = [values(&[2, 3, 4, 5], 1)?, values(&[2, 2, 4, 5], 2)?];
    let last = |args: &[Tensor]| {
        let layout = ImageLayout::ChannelsLast;
        let both =
            cat_channels(&FIRST.convert(&args[0], layout)?, &FIRST.convert(&args[1], layout)?, layout)?;
        layout.convert(&both, FIRST)
    };
    assert_matches("channels last", &last, &|args| Tensor::cat(&[&args[0], &args[1]], 1), &args, 0.0);
    Ok(())
}
