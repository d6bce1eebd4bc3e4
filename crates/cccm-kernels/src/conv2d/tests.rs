use candle_core::{DType, Device, Result, Tensor, Var};

use super::*;
use crate::testing::{
    assert_close, assert_gradients_are_slopes, assert_matches, for_each_isa, strided, value_and_grads, values,
};

const SAME: Conv2dConfig = Conv2dConfig::new(1, 1);
const DOWN: Conv2dConfig = Conv2dConfig::new(2, 1);
const POINT: Conv2dConfig = Conv2dConfig::new(1, 0);

/// One convolution to test.
#[derive(Clone, Copy, Debug)]
struct Case {
    /// `(batch, c_in, h, w)`
    x: [usize; 4],
    c_out: usize,
    k: usize,
    cfg: Conv2dConfig,
    /// One bias per sample.
    per_sample: bool,
}

const fn case(x: [usize; 4], c_out: usize, k: usize, cfg: Conv2dConfig) -> Case {
    Case { x, c_out, k, cfg, per_sample: false }
}

const CASES: &[Case] = &[
    // 3x3: one pixel, odd sizes, vectors within rows and across them, channels around the blocks of 3, 8 and 32.
    case([1, 1, 1, 1], 1, 3, SAME),
    case([1, 3, 5, 7], 3, 3, SAME),
    case([3, 3, 5, 7], 20, 3, SAME),
    case([3, 20, 9, 16], 3, 3, SAME),
    case([2, 33, 8, 8], 9, 3, SAME),
    case([1, 37, 16, 32], 17, 3, SAME),
    case([1, 2, 40, 80], 4, 3, SAME),
    case([2, 2, 70, 33], 2, 3, SAME),
    case([1, 2, 1, 50], 5, 3, SAME),
    case([1, 2, 50, 1], 5, 3, SAME),
    case([1, 130, 5, 7], 131, 3, SAME),
    Case { per_sample: true, ..case([3, 5, 6, 9], 11, 3, SAME) },
    // Stride 2, also where height and width differ in parity.
    case([1, 3, 1, 1], 2, 3, DOWN),
    case([3, 5, 8, 8], 7, 3, DOWN),
    case([2, 9, 7, 10], 12, 3, DOWN),
    case([1, 3, 10, 7], 3, 3, DOWN),
    case([2, 3, 50, 46], 5, 3, DOWN),
    case([5, 3, 23, 25], 13, 3, DOWN),
    // More channels than one column matrix has room for.
    case([1, 50, 24, 24], 3, 3, SAME),
    case([1, 50, 47, 45], 3, 3, DOWN),
    Case { per_sample: true, ..case([2, 3, 5, 6], 4, 3, DOWN) },
    // 1x1.
    case([1, 1, 1, 1], 1, 1, POINT),
    case([3, 7, 5, 7], 19, 1, POINT),
    case([1, 40, 16, 16], 3, 1, POINT),
    case([3, 7, 20, 30], 5, 1, POINT),
    Case { per_sample: true, ..case([2, 3, 4, 4], 9, 1, POINT) },
    // Enough channels and tiles for the transforms in every direction.
    case([3, 64, 12, 12], 40, 3, SAME),
    Case { per_sample: true, ..case([2, 72, 13, 9], 24, 3, SAME) },
    // What the network does not use.
    case([2, 3, 6, 7], 4, 1, Conv2dConfig::new(2, 0)),
    case([2, 3, 6, 7], 4, 2, POINT),
    case([2, 3, 6, 7], 4, 3, POINT),
    case([1, 2, 4, 5], 3, 3, Conv2dConfig::new(1, 4)),
    case([2, 3, 9, 8], 4, 5, Conv2dConfig::new(3, 2)),
    case([1, 2, 3, 3], 2, 2, Conv2dConfig::new(4, 3)),
];

impl Case {
    /// Sums over many channels at the points of a transform round a little more.
    fn tolerance(&self) -> f64 {
        if self.x[1] >= 64 { 5e-6 } else { 2e-6 }
    }

    /// `[x, weight, bias]`.
    fn args(&self) -> Result<[Tensor; 3]> {
        let [batch, c_in, _, _] = self.x;
        let bias = if self.per_sample { vec![batch, self.c_out] } else { vec![self.c_out] };
        Ok([values(&self.x, 1)?, values(&[self.c_out, c_in, self.k, self.k], 2)?, values(&bias, 3)?])
    }

    fn on(&self, isa: Isa, args: &[Tensor]) -> Result<Tensor> {
        conv2d_on(isa, &args[0], &args[1], args.get(2), self.cfg)
    }

    fn reference(&self, args: &[Tensor]) -> Result<Tensor> {
        let geometry = Geometry::new(&args[0], &args[1], args.get(2), self.cfg)?;
        reference::conv2d(&geometry, &args[0], &args[1], args.get(2))
    }
}

#[test]
fn matches_candle_with_and_without_bias() {
    for_each_isa(|isa| {
        for case in CASES {
            let args = case.args().unwrap();
            for args in [&args[..2], &args] {
                let what = format!("{case:?} with {} arguments on {isa:?}", args.len());
                assert_matches(
                    &what,
                    &|args| case.on(isa, args),
                    &|args| case.reference(args),
                    args,
                    case.tolerance(),
                );
            }
        }
    });
}

#[test]
fn reference_gradients_are_slopes() {
    for case in CASES.iter().filter(|case| case.x.iter().product::<usize>() < 300) {
        let args = case.args().unwrap();
        assert_gradients_are_slopes(&format!("{case:?}"), |args| case.reference(args), &args);
    }
}

#[test]
fn strided_arguments_and_gradients() -> Result<()> {
    for case in CASES {
        let args = case.args()?;
        // The transposition makes the incoming gradient strided, too.
        let op = |args: &[Tensor]| {
            let args: Vec<_> = args.iter().map(strided).collect::<Result<_>>()?;
            assert!(!args[1].is_contiguous() || args[1].layout().start_offset() > 0);
            case.on(Isa::detect(), &args)?.transpose(1, 3)
        };
        assert_matches(
            &format!("{case:?}"),
            &op,
            &|args| case.reference(args)?.transpose(1, 3),
            &args,
            case.tolerance(),
        );
    }
    Ok(())
}

#[test]
fn a_narrow_view_of_a_weight_passes_its_gradient_on() {
    let args = [values(&[2, 3, 6, 6], 1).unwrap(), values(&[4, 5, 3, 3], 2).unwrap()];
    let view = |args: &[Tensor]| args[1].narrow(1, 1, 3);
    assert_matches(
        "narrow weight",
        &|args| conv2d(&args[0], &view(args)?, None, SAME),
        &|args| args[0].conv2d(&view(args)?, 1, 1, 1, 1),
        &args,
        2e-6,
    );
}

#[test]
fn only_tracked_arguments_get_gradients() -> Result<()> {
    let case = case([2, 3, 6, 6], 4, 3, SAME);
    let args = case.args()?;
    for tracked in 0..3 {
        let var = Var::from_tensor(&args[tracked])?;
        let mut args = args.clone();
        args[tracked] = var.as_tensor().clone();
        let grads = case.on(Isa::detect(), &args)?.sum_all()?.backward()?;
        for (i, arg) in args.iter().enumerate() {
            assert_eq!(grads.get(arg).is_some(), i == tracked, "argument {i} with {tracked} tracked");
        }
    }
    Ok(())
}

#[test]
fn an_empty_batch_has_an_empty_result_and_zero_gradients() {
    for_each_isa(|isa| {
        for (k, cfg) in [(3, SAME), (3, DOWN), (1, POINT)] {
            for per_sample in [false, true] {
                let case = Case { per_sample, ..case([0, 3, 6, 6], 4, k, cfg) };
                let args = case.args().unwrap();
                let (y, grads) = value_and_grads(&|args| case.on(isa, args), &args).unwrap();
                assert_eq!(y.dims()[..2], [0, 4]);
                assert_close("weight", &grads[1], &grads[1].zeros_like().unwrap(), 0.0);
                assert_close("bias", &grads[2], &grads[2].zeros_like().unwrap(), 0.0);
                // candle's own operations drop empty tensors from the graph, so there are no gradients to compare.
                let args = args.map(|arg| arg.to_dtype(DType::F64).unwrap());
                assert_eq!(case.on(isa, &args).unwrap().dims(), y.dims());
            }
        }
    });
}

/// The same bits every time; equal to rounding for another number of threads.
#[test]
fn results_do_not_depend_on_scheduling() {
    let run = |threads: usize, case: &Case| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| value_and_grads(&|args| case.on(Isa::detect(), args), &case.args().unwrap()).unwrap())
    };
    for case in CASES {
        let (y, grads) = run(3, case);
        let (again, grads_again) = run(3, case);
        assert_close(&format!("{case:?}"), &again, &y, 0.0);
        let (other, grads_other) = run(1, case);
        assert_close(&format!("{case:?}"), &other, &y, 1e-6);
        for i in 0..3 {
            assert_close(&format!("{case:?} gradient {i}"), &grads_again[i], &grads[i], 0.0);
            assert_close(&format!("{case:?} gradient {i}"), &grads_other[i], &grads[i], 1e-6);
        }
    }
}

#[test]
fn what_does_not_fit_is_named() -> Result<()> {
    let zeros = |dims: &[usize]| Tensor::zeros(dims, DType::F32, &Device::Cpu);
    let x = zeros(&[2, 3, 4, 4])?;
    let message = |x: &Tensor, weight: &[usize], bias: Option<&[usize]>, cfg| {
        let bias = bias.map(zeros).transpose().unwrap();
        conv2d(x, &zeros(weight).unwrap(), bias.as_ref(), cfg).unwrap_err().to_string()
    };
    for (got, want) in [
        (
            message(&zeros(&[3, 4, 4])?, &[1, 3, 3, 3], None, SAME),
            "`x` must be (batch, c, h, w), got [3, 4, 4]",
        ),
        (
            message(&x, &[1, 5, 3, 3], None, SAME),
            "must be (c_out, 3, k, k) for `x` [2, 3, 4, 4], got [1, 5, 3, 3]",
        ),
        (message(&x, &[1, 3, 3, 1], None, SAME), "must be (c_out, 3, k, k)"),
        (message(&x, &[0, 3, 3, 3], None, SAME), "no dimension but the batch may be 0"),
        (message(&x, &[5, 3, 3, 3], Some(&[4]), SAME), "`bias` must be (5,) or (2, 5), got [4]"),
        (message(&x, &[5, 3, 7, 7], None, SAME), "a 7x7 kernel does not fit into 4x4 pixels with padding 1"),
        (message(&x, &[5, 3, 3, 3], None, Conv2dConfig::new(0, 1)), "`stride` is 0"),
        (message(&x, &[5, 3, 3, 3], None, Conv2dConfig::new(1, usize::MAX / 2)), "must be at most 1048576"),
    ] {
        assert!(got.contains(want), "{got}");
    }
    let weight = Tensor::zeros((1, 3, 3, 3), DType::F64, &Device::Cpu)?;
    let got = conv2d(&x, &weight, None, SAME).unwrap_err().to_string();
    assert!(got.contains("`weight` must be F32 on Cpu like `x`, got F64 on Cpu"), "{got}");
    Ok(())
}

#[test]
fn channels_last_is_the_same_in_another_order() -> Result<()> {
    for case in CASES.iter().take(8) {
        let last = |args: &[Tensor]| {
            let layout = ImageLayout::ChannelsLast;
            let x = ImageLayout::ChannelsFirst.convert(&args[0], layout)?;
            let y = conv2d(&x, &args[1], args.get(2), Conv2dConfig { layout, ..case.cfg })?;
            layout.convert(&y, ImageLayout::ChannelsFirst)
        };
        assert_matches(
            &format!("{case:?}"),
            &last,
            &|args| case.reference(args),
            &case.args()?,
            case.tolerance(),
        );
    }
    Ok(())
}

/// Weights are rounded, sums are not: the result is that of rounded numbers, rounded once.
#[test]
fn half_precision_with_single_parameters() -> Result<()> {
    let case = Case { per_sample: true, ..case([2, 20, 9, 16], 5, 3, SAME) };
    let args = case.args()?;
    let half = |args: &[Tensor]| {
        conv2d(&args[0].to_dtype(DType::BF16)?, &args[1], args.get(2), case.cfg)?.to_dtype(DType::F32)
    };
    let rounded = |t: &Tensor| t.to_dtype(DType::BF16)?.to_dtype(t.dtype());
    let want = case.reference(&[rounded(&args[0])?, rounded(&args[1])?, args[2].clone()])?;
    assert_close("of rounded numbers", &half(&args)?, &rounded(&want)?, 4e-3);
    assert_matches("bf16", &half, &|args| case.reference(args), &args, 2e-2);
    let all_half = args.each_ref().map(|arg| arg.to_dtype(DType::BF16).unwrap());
    assert_eq!(case.on(Isa::detect(), &all_half)?.dtype(), DType::BF16);
    Ok(())
}
