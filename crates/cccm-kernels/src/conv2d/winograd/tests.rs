use candle_core::{Device, Result, Tensor};

use super::*;
use crate::conv2d::{Conv2dConfig, reference};
use crate::testing::{assert_close, for_each_isa, value_and_grads, values};

/// The points' factors cost half a digit (see [`points`]), and hundreds of channels are added up one after the other:
/// the largest error seen, over 520 channels, is 4.7e-6 of the largest value.
const TOLERANCE: f64 = 1e-5;

/// `(batch, c_in, h, w)` and `c_out`.
const CASES: &[([usize; 4], usize)] = &[
    // No multiple of a tile, less than one, less than a vector of channels.
    ([1, 1, 1, 1], 1),
    ([1, 3, 5, 7], 3),
    ([3, 3, 5, 7], 20),
    ([1, 2, 1, 50], 5),
    ([1, 2, 50, 1], 5),
    ([2, 17, 3, 4], 33),
    // Whole tiles and vectors; groups of several samples, the last one not full.
    ([2, 16, 8, 8], 16),
    ([13, 32, 8, 8], 64),
    ([5, 40, 4, 4], 48),
    // A row of tiles longer than a group.
    ([1, 4, 9, 210], 6),
    // One group, filters transformed where they are used; several parts; several passes, on few threads.
    ([1, 520, 12, 12], 130),
    ([1, 16, 256, 260], 3),
    ([1, 520, 28, 28], 130),
];

/// `f`'s result as a tensor.
fn tensor(data: Vec<f32>, like: &Tensor) -> Tensor {
    Tensor::from_vec(data, like.shape(), &Device::Cpu).unwrap()
}

/// All three directions on every instruction set, against candle's convolution in `f64`.
#[test]
fn matches_candle() -> Result<()> {
    for &([batch, c_in, h, w], c_out) in CASES {
        let g = Geometry { batch, c_in, h, w, c_out, k: 3, stride: 1, padding: 1 };
        let args =
            [values(&[batch, c_in, h, w], 1)?, values(&[c_out, c_in, 3, 3], 2)?, values(&[batch, c_out], 3)?];
        let exact = args.each_ref().map(|arg| arg.to_dtype(candle_core::DType::F64).unwrap());
        let op = |args: &[Tensor]| reference::conv2d(&g, &args[0], &args[1], Some(&args[2]));
        let (y, grads) = value_and_grads(&op, &exact)?;
        // What `value_and_grads` multiplies the result with is the gradient of the result.
        let dy = values(&[batch, c_out, h, w], 99)?.flatten_all()?.to_vec1()?;
        let [x, weight, bias] = args.map(|arg| arg.flatten_all().unwrap().to_vec1::<f32>().unwrap());
        for_each_isa(|isa| {
            let what = |result: &str| format!("{result} of {g:?} on {isa:?}");
            let filters = Filters::new(&weight, c_out, c_in);
            let got = forward(&g, isa, filters, &x, Some(&bias));
            assert_close(&what("value"), &tensor(got, &y), &y, TOLERANCE);
            let got = forward(&g.exchanged(), isa, filters.transposed(), &dy, None);
            assert_close(&what("gradient of x"), &tensor(got, &grads[0]), &grads[0], TOLERANCE);
            let got = grad_weight(&g, isa, &x, &dy);
            assert_close(&what("gradient of the weight"), &tensor(got, &grads[1]), &grads[1], TOLERANCE);
        });
    }
    Ok(())
}

/// The selection: what it takes must be computed here, and small images must not be.
#[test]
fn is_chosen_for_enough_tiles_and_channels() {
    let wide = Geometry { batch: 1, c_in: 64, h: 32, w: 32, c_out: 64, k: 3, stride: 1, padding: 1 };
    let Conv2dConfig { stride, padding, .. } = Conv2dConfig::default();
    for isa in Isa::available() {
        assert_eq!(is_faster(&wide, isa), isa.has_vectors());
        for other in [
            Geometry { k: 1, stride, padding, ..wide },
            Geometry { stride: 2, ..wide },
            Geometry { padding: 0, ..wide },
            Geometry { c_in: 3, ..wide },
            Geometry { h: 4, w: 4, ..wide },
            Geometry { batch: 0, ..wide },
        ] {
            assert!(!is_faster(&other, isa), "{other:?}");
        }
    }
}
