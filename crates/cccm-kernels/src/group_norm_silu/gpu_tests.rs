//! The kernels for GPUs, run on the CPU.
#![expect(unsafe_code, reason = "launches kernels")]

use candle_core::{DType, Device, Result, Tensor};

use super::gpu::{Arguments, Gradients, backward, forward};
use super::{GroupNormConfig, Sizes, reference};
use crate::ImageLayout;
use crate::gpu::Elements;
use crate::gpu::shim::{Shim, Values};
use crate::testing::{assert_close, value_and_grads, values};

const EPS: f64 = 1e-5;

/// `x`'s shape and the groups: one pixel, several chunks of pixels, a rest behind them, channels that are read one by one
/// and several at once, more channels than a block has threads, groups of one channel and one group.
const CASES: &[([usize; 4], usize)] = &[
    ([1, 6, 1, 1], 2),
    ([2, 6, 5, 7], 3),
    ([1, 32, 19, 29], 8),
    ([2, 8, 16, 16], 8),
    ([1, 12, 3, 5], 1),
    ([1, 1032, 2, 2], 3),
];

fn last(x: &Tensor) -> Result<Vec<f32>> {
    ImageLayout::ChannelsFirst.convert(x, ImageLayout::ChannelsLast)?.flatten_all()?.to_vec1()
}

fn first(values: Vec<f32>, [batch, channels, h, w]: [usize; 4]) -> Result<Tensor> {
    let images = Tensor::from_vec(values, (batch, h, w, channels), &Device::Cpu)?;
    ImageLayout::ChannelsLast.convert(&images, ImageLayout::ChannelsFirst)
}

#[test]
fn kernels_match_the_reference() -> Result<()> {
    let Some(shim) = Shim::new() else { return Ok(()) };
    for &(shape, groups) in CASES {
        for (elements, tolerance) in [(Elements::F32, 2e-5), (Elements::Bf16, 2e-2)] {
            let what = format!("{shape:?} in {groups} groups, {elements:?}");
            let channels = [shape[1]];
            // A mean far from 0 beside a small spread is what a careless variance gets wrong.
            let x = (values(&shape, 1)? + 3.0)?;
            let x =
                if elements == Elements::Bf16 { x.to_dtype(DType::BF16)?.to_dtype(DType::F32)? } else { x };
            let args = [x, values(&channels, 2)?, values(&channels, 3)?];
            let (y, grads) = value_and_grads(
                &|args| {
                    let cfg = GroupNormConfig::new(groups, EPS);
                    let sizes = Sizes::new(&args[0], &args[1], &args[2], cfg)?;
                    reference::group_norm_silu(&sizes, EPS, &args[0], &args[1], &args[2])
                },
                &args,
            )?;
            let sizes = Sizes::new(&args[0], &args[1], &args[2], GroupNormConfig::new(groups, EPS))?;
            let len = args[0].elem_count();
            let mut x = Values::new(elements, &last(&args[0])?);
            // The direction that `value_and_grads` takes.
            let mut dy = Values::new(elements, &last(&values(&shape, 99)?)?);
            let [mut weight, mut bias] = [&args[1], &args[2]].map(|arg| Values::F32(arg.to_vec1().unwrap()));
            let mut moments = Values::unwritten(Elements::F32, sizes.moments_len());
            let [mut got, mut dx] = [(); 2].map(|()| Values::unwritten(elements, len));
            let [mut d_weight, mut d_bias] = [(); 2].map(|()| Values::unwritten(Elements::F32, shape[1]));
            let of = Arguments {
                x: x.pointer(),
                weight: weight.pointer(),
                bias: bias.pointer(),
                moments: moments.pointer(),
            };
            let to = Gradients { x: dx.pointer(), weight: d_weight.pointer(), bias: d_bias.pointer() };
            // SAFETY: all of the sizes' lengths.
            unsafe {
                forward(&shim, &sizes, elements, EPS, of, got.pointer())?;
                backward(&shim, &sizes, elements, of, dy.pointer(), to)?;
            }
            assert_close(&format!("{what}: value"), &first(got.to_f32(), shape)?, &y, tolerance);
            assert_close(&format!("{what}: x"), &first(dx.to_f32(), shape)?, &grads[0], tolerance);
            for (name, got, want) in [("weight", d_weight, &grads[1]), ("bias", d_bias, &grads[2])] {
                let got = Tensor::new(got.to_f32(), &Device::Cpu)?;
                assert_close(&format!("{what}: {name}"), &got, want, tolerance);
            }
        }
    }
    Ok(())
}
