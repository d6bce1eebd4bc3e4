use candle_core::{DType, Device, Result, Tensor, Var};

use super::*;
use crate::testing::{
    assert_close, assert_gradients_are_slopes, assert_matches, for_each_isa, strided, value_and_grads, values,
};

const EPS: f64 = 1e-5;

/// `x`'s shape and the number of groups: one pixel, odd sizes, vectors with a rest, one group, instance norm.
const CASES: &[([usize; 4], usize)] = &[
    ([1, 12, 1, 1], 2),
    ([3, 6, 5, 7], 3),
    ([2, 10, 5, 7], 10),
    ([1, 12, 9, 11], 1),
    ([2, 8, 16, 16], 4),
    ([1, 4, 40, 70], 2),
    ([1, 2, 3, 1], 2),
];

/// `[x, weight, bias]`; a mean that is far from 0 beside a small spread is what a careless variance gets wrong.
fn args(shape: [usize; 4]) -> Result<[Tensor; 3]> {
    let x = (values(&shape, 1)? + 3.0)?;
    Ok([x, values(&[shape[1]], 2)?, values(&[shape[1]], 3)?])
}

fn reference(args: &[Tensor], groups: usize) -> Result<Tensor> {
    let sizes = Sizes::new(&args[0], &args[1], &args[2], GroupNormConfig::new(groups, EPS))?;
    reference::group_norm_silu(&sizes, EPS, &args[0], &args[1], &args[2])
}

#[test]
fn matches_candle() {
    for_each_isa(|isa| {
        for &(shape, groups) in CASES {
            assert_matches(
                &format!("{shape:?} in {groups} groups on {isa:?}"),
                &|args| {
                    group_norm_silu_on(isa, &args[0], &args[1], &args[2], GroupNormConfig::new(groups, EPS))
                },
                &|args| reference(args, groups),
                &args(shape).unwrap(),
                1e-5,
            );
        }
    });
}

#[test]
fn reference_is_group_norm_and_silu_of_candle() -> Result<()> {
    for &(shape, groups) in CASES {
        let args = args(shape)?;
        let norm = candle_nn::GroupNorm::new(args[1].clone(), args[2].clone(), shape[1], groups, EPS)?;
        let want = args[0].apply(&norm)?.silu()?;
        assert_close(&format!("{shape:?} in {groups} groups"), &reference(&args, groups)?, &want, 1e-5);
    }
    Ok(())
}

#[test]
fn reference_gradients_are_slopes() {
    for &(shape, groups) in &CASES[..2] {
        let args = args(shape).unwrap();
        assert_gradients_are_slopes(&format!("{shape:?}"), |args| reference(args, groups), &args);
    }
}

#[test]
fn strided_arguments_and_gradients() -> Result<()> {
    for &(shape, groups) in CASES {
        let op = |args: &[Tensor]| {
            let args: Vec<_> = args.iter().map(strided).collect::<Result<_>>()?;
            group_norm_silu(&args[0], &args[1], &args[2], GroupNormConfig::new(groups, EPS))?.transpose(1, 3)
        };
        let want = |args: &[Tensor]| reference(args, groups)?.transpose(1, 3);
        assert_matches(&format!("{shape:?} in {groups} groups"), &op, &want, &args(shape)?, 1e-5);
    }
    Ok(())
}

#[test]
fn only_tracked_arguments_get_gradients() -> Result<()> {
    let args = args([2, 4, 3, 3])?;
    for tracked in 0..3 {
        let var = Var::from_tensor(&args[tracked])?;
        let mut args = args.clone();
        args[tracked] = var.as_tensor().clone();
        let grads = group_norm_silu(&args[0], &args[1], &args[2], GroupNormConfig::new(2, EPS))?
            .sum_all()?
            .backward()?;
        for (i, arg) in args.iter().enumerate() {
            assert_eq!(grads.get(arg).is_some(), i == tracked, "argument {i} with {tracked} tracked");
        }
    }
    Ok(())
}

#[test]
fn an_empty_batch_has_an_empty_result_and_zero_gradients() -> Result<()> {
    let op = |args: &[Tensor]| group_norm_silu(&args[0], &args[1], &args[2], GroupNormConfig::new(2, EPS));
    let args = args([0, 4, 3, 3])?;
    let (y, grads) = value_and_grads(&op, &args)?;
    assert_eq!(y.dims(), [0, 4, 3, 3]);
    assert_close("weight", &grads[1], &grads[1].zeros_like()?, 0.0);
    assert_close("bias", &grads[2], &grads[2].zeros_like()?, 0.0);
    // candle's own operations drop empty tensors from the graph, so there are no gradients to compare.
    let args = args.map(|arg| arg.to_dtype(DType::F64).unwrap());
    assert_eq!(op(&args)?.dims(), [0, 4, 3, 3]);
    Ok(())
}

#[test]
fn half_precision_is_computed_in_f32() -> Result<()> {
    let args = args([2, 4, 5, 5])?.map(|arg| arg.to_dtype(DType::BF16).unwrap());
    let got = group_norm_silu(&args[0], &args[1], &args[2], GroupNormConfig::new(2, EPS))?;
    assert_eq!(got.dtype(), DType::BF16);
    let args = args.map(|arg| arg.to_dtype(DType::F32).unwrap());
    let want =
        group_norm_silu(&args[0], &args[1], &args[2], GroupNormConfig::new(2, EPS))?.to_dtype(DType::BF16)?;
    assert_close("bf16", &got, &want, 1e-2);
    Ok(())
}

#[test]
fn what_does_not_fit_is_named() {
    let zeros = |dims: &[usize]| Tensor::zeros(dims, DType::F32, &Device::Cpu);
    let message = |x: &[usize], weight: &[usize], groups| {
        let (x, weight) = (zeros(x).unwrap(), zeros(weight).unwrap());
        group_norm_silu(&x, &weight, &weight, GroupNormConfig::new(groups, EPS)).unwrap_err().to_string()
    };
    for (got, want) in [
        (message(&[4, 3, 3], &[4], 2), "`x` must be (batch, c, h, w), got [4, 3, 3]"),
        (message(&[1, 4, 3, 3], &[3], 2), "`weight` must be (4,), got [3]"),
        (message(&[1, 4, 3, 3], &[4], 3), "3 groups do not divide 4 channels"),
        (message(&[1, 4, 3, 3], &[4], 0), "0 groups do not divide 4 channels"),
        (message(&[1, 4, 0, 3], &[4], 2), "no dimension but the batch may be 0"),
    ] {
        assert!(got.contains(want), "{got}");
    }
}

#[test]
fn channels_last_is_the_same_in_another_order() -> Result<()> {
    let layout = ImageLayout::ChannelsLast;
    let args = args([2, 6, 5, 7])?;
    let last = |args: &[Tensor]| {
        let x = ImageLayout::ChannelsFirst.convert(&args[0], layout)?;
        let y = group_norm_silu(
            &x,
            &args[1],
            &args[2],
            GroupNormConfig { layout, ..GroupNormConfig::new(3, EPS) },
        )?;
        layout.convert(&y, ImageLayout::ChannelsFirst)
    };
    assert_matches("channels last", &last, &|args| reference(args, 3), &args, 1e-5);
    Ok(())
}

/// What a network in half precision has: `f32` parameters, which get `f32` gradients.
#[test]
fn half_precision_with_single_parameters() -> Result<()> {
    let [x, weight, bias] = args([2, 4, 5, 5])?;
    let args = [x.to_dtype(DType::BF16)?.to_dtype(DType::F32)?, weight, bias];
    let half = |args: &[Tensor]| {
        let x = args[0].to_dtype(DType::BF16)?;
        group_norm_silu(&x, &args[1], &args[2], GroupNormConfig::new(2, EPS))?.to_dtype(DType::F32)
    };
    assert_matches("bf16", &half, &|args| reference(args, 2), &args, 2e-2);
    Ok(())
}
