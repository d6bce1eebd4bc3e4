//! Every operation beside plain candle, forward and forward with backward, at the sizes of a small and a large U-Net.

#![expect(clippy::expect_used, reason = "a benchmark that fails has nothing better to do than to stop")]

use std::time::Duration;

use candle_core::{Device, Result, Tensor, Var};
use candle_nn::GroupNorm;
use cccm_kernels::{
    Conv2dConfig, GroupNormConfig, ImageLayout, add, backward, cat_channels, conv2d, group_norm_silu,
    upsample_nearest_2x,
};
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};

const GROUPS: usize = 8;
const EPS: f64 = 1e-5;

/// An operation on some tensors.
type Op<'a> = &'a dyn Fn(&[Var]) -> Result<Tensor>;

fn compare(c: &mut Criterion, name: &str, shapes: &[&[usize]], ours: Op<'_>, candle: Op<'_>) {
    let var = |shape: &&[usize]| Var::randn(0f32, 1.0, *shape, &Device::Cpu);
    let args = shapes.iter().map(var).collect::<Result<Vec<_>>>().expect("random tensors");
    let sizes: Vec<_> =
        shapes.iter().map(|shape| shape.iter().map(usize::to_string).collect::<Vec<_>>()).collect();
    let sizes = sizes.iter().map(|shape| shape.join("x")).collect::<Vec<_>>().join(",");
    let mut group = c.benchmark_group(name);
    group.sample_size(10).warm_up_time(Duration::from_millis(200)).measurement_time(Duration::from_secs(1));
    for (who, op) in [("ours", ours), ("candle", candle)] {
        let id = |direction: &str| BenchmarkId::new(format!("{who}/{direction}/f32/cpu"), &sizes);
        group.bench_function(id("forward"), |b| b.iter(|| op(&args).expect("forward")));
        let through = if who == "ours" { backward } else { Tensor::backward };
        group.bench_function(id("train"), |b| {
            b.iter(|| op(&args).and_then(|y| through(&y.sum_all()?)).expect("backward"));
        });
    }
    group.finish();
}

fn convolutions(c: &mut Criterion) {
    // (batch, c_in, height = width, c_out, k, stride)
    for (batch, c_in, side, c_out, k, stride) in [
        (16, 32, 32, 32, 3, 1),
        (16, 64, 16, 64, 3, 1),
        (16, 64, 8, 64, 3, 1),
        (16, 32, 32, 32, 3, 2),
        (16, 128, 16, 64, 1, 1),
        (1, 128, 64, 128, 3, 1),
        (1, 512, 16, 512, 3, 1),
    ] {
        let shapes: &[&[usize]] = &[&[batch, c_in, side, side], &[c_out, c_in, k, k], &[c_out]];
        let cfg = Conv2dConfig::new(stride, k / 2);
        compare(
            c,
            &format!("conv2d_{k}x{k}_stride_{stride}"),
            shapes,
            &|args| conv2d(&args[0], &args[1], Some(&args[2]), cfg),
            &|args| {
                let bias = args[2].reshape((1, c_out, 1, 1))?;
                args[0].conv2d(&args[1], cfg.padding, cfg.stride, 1, 1)?.broadcast_add(&bias)
            },
        );
    }
}

fn norms(c: &mut Criterion) {
    for shape in [[16, 32, 32, 32], [16, 64, 16, 16], [1, 128, 64, 64]] {
        let channels = shape[1];
        compare(
            c,
            "group_norm_silu",
            &[&shape, &[channels], &[channels]],
            &|args| group_norm_silu(&args[0], &args[1], &args[2], GroupNormConfig::new(GROUPS, EPS)),
            &|args| {
                let (weight, bias) = (args[1].as_tensor().clone(), args[2].as_tensor().clone());
                args[0].apply(&GroupNorm::new(weight, bias, channels, GROUPS, EPS)?)?.silu()
            },
        );
    }
}

fn upsamplings(c: &mut Criterion) {
    for shape in [[16, 64, 16, 16], [1, 256, 32, 32]] {
        let [_, _, h, w] = shape;
        compare(
            c,
            "upsample_nearest_2x",
            &[&shape],
            &|args| upsample_nearest_2x(&args[0], ImageLayout::ChannelsFirst),
            &|args| args[0].upsample_nearest2d(2 * h, 2 * w),
        );
    }
}

fn joints(c: &mut Criterion) {
    for shape in [[16, 32, 32, 32], [1, 128, 128, 128]] {
        let shapes: &[&[usize]] = &[&shape, &shape];
        compare(c, "add", shapes, &|args| add(&args[0], &args[1]), &|args| {
            args[0].as_tensor() + args[1].as_tensor()
        });
        compare(
            c,
            "cat_channels",
            shapes,
            &|args| cat_channels(&args[0], &args[1], ImageLayout::ChannelsFirst),
            &|args| Tensor::cat(&[args[0].as_tensor(), args[1].as_tensor()], 1),
        );
    }
}

criterion_group!(benches, convolutions, norms, upsamplings, joints);
criterion_main!(benches);
