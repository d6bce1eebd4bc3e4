use candle_core::{DType, Device, Result, Tensor};

use super::*;
use crate::testing::{assert_close, assert_gradients_are_slopes, assert_matches, strided, values};

const FIRST: ImageLayout = ImageLayout::ChannelsFirst;
const SHAPES: &[[usize; 4]] = &[[1, 1, 1, 1], [3, 3, 5, 7], [2, 9, 8, 8], [1, 1, 1, 6]];

#[test]
fn matches_candle() -> Result<()> {
    for shape in SHAPES {
        let args = [values(shape, 1)?];
        let (h, w) = (2 * shape[2], 2 * shape[3]);
        assert_close(
            "value",
            &upsample_nearest_2x(&args[0], FIRST)?,
            &args[0].upsample_nearest2d(h, w)?,
            0.0,
        );
        let reference = |args: &[Tensor]| reference::upsample_nearest_2x(&args[0]);
        assert_matches(
            &format!("{shape:?}"),
            &|args| upsample_nearest_2x(&args[0], FIRST),
            &reference,
            &args,
            1e-6,
        );
        assert_gradients_are_slopes(&format!("{shape:?}"), reference, &args);
    }
    Ok(())
}

#[test]
fn strided_arguments_and_gradients() -> Result<()> {
    for shape in SHAPES {
        let op = |args: &[Tensor]| upsample_nearest_2x(&strided(&args[0])?, FIRST)?.transpose(1, 3);
        let want = |args: &[Tensor]| reference::upsample_nearest_2x(&args[0])?.transpose(1, 3);
        assert_matches(&format!("{shape:?}"), &op, &want, &[values(shape, 1)?], 1e-6);
    }
    Ok(())
}

/// candle's own backward forgets what the second user of `x` has added to the gradient.
#[test]
fn gradients_of_all_users_add_up() -> Result<()> {
    let args = [values(&[1, 2, 3, 3], 1)?];
    let op = |args: &[Tensor]| upsample_nearest_2x(&args[0], FIRST)?.avg_pool2d(2)? + args[0].sqr()?;
    for dtype in [DType::F32, DType::F64] {
        let args = [args[0].to_dtype(dtype)?];
        assert_matches(&format!("{dtype:?}"), &op, &|args| &args[0] + args[0].sqr()?, &args, 1e-6);
    }
    Ok(())
}

#[test]
fn empty_images_and_wrong_ranks() -> Result<()> {
    let zeros = |dims: &[usize]| Tensor::zeros(dims, DType::F32, &Device::Cpu);
    assert_eq!(upsample_nearest_2x(&zeros(&[0, 3, 4, 5])?, FIRST)?.dims(), [0, 3, 8, 10]);
    let message = upsample_nearest_2x(&zeros(&[3, 4, 5])?, FIRST).unwrap_err().to_string();
    assert!(message.contains("`x` must be (batch, c, h, w), got [3, 4, 5]"), "{message}");
    Ok(())
}

#[test]
fn channels_last_is_the_same_in_another_order() -> Result<()> {
    for shape in SHAPES {
        let last = |args: &[Tensor]| {
            let x = FIRST.convert(&args[0], ImageLayout::ChannelsLast)?;
            ImageLayout::ChannelsLast.convert(&upsample_nearest_2x(&x, ImageLayout::ChannelsLast)?, FIRST)
        };
        let want = |args: &[Tensor]| reference::upsample_nearest_2x(&args[0]);
        assert_matches(&format!("{shape:?}"), &last, &want, &[values(shape, 1)?], 1e-6);
    }
    Ok(())
}
