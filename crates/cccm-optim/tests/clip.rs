//! Norm of the gradients, and clipping by it.

use std::collections::BTreeMap;

use candle_core::{DType, Device, Tensor};
use cccm_optim::{clip_factor, global_norm};
use cccm_tests::{Tolerance, assert_close_scalar, devices, hashed};

fn named(tensors: Vec<Tensor>) -> BTreeMap<String, Tensor> {
    tensors.into_iter().enumerate().map(|(i, t)| (format!("t{i}"), t)).collect()
}

#[test]
fn norm_by_hand() -> anyhow::Result<()> {
    for device in devices() {
        let grads =
            named(vec![Tensor::new(&[[1f32, 2.0], [4.0, 0.0]], &device)?, Tensor::new(-10f32, &device)?]);
        assert_close_scalar(global_norm(&grads)?, 11.0, Tolerance::EXACT)?;
    }
    assert_close_scalar(global_norm(&BTreeMap::new())?, 0.0, Tolerance::EXACT)
}

/// Longer than one chunk and no multiple of the lanes; also strided, and in other dtypes.
#[test]
fn norm_of_long_tensors() -> anyhow::Result<()> {
    let t = hashed("norm", (101, 1003), 3.0, 0.5)?;
    let want: f64 =
        t.flatten_all()?.to_vec1::<f32>()?.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt();
    let tolerance = Tolerance { abs: 0.0, rel: 1e-13 };
    for same in [t.clone(), t.t()?, t.to_dtype(DType::F64)?] {
        assert_close_scalar(global_norm(&named(vec![same]))?, want, tolerance)?;
    }
    // bf16 keeps 8 bits; its rounding errors average out.
    let bf16 = global_norm(&named(vec![t.to_dtype(DType::BF16)?]))?;
    assert_close_scalar(bf16, want, Tolerance { abs: 0.0, rel: 1e-3 })
}

#[test]
fn norm_does_not_depend_on_threads() -> anyhow::Result<()> {
    let grads = named(vec![hashed("a", 1_000_003, 1.0, 0.0)?, hashed("b", 5, 1.0, 0.0)?]);
    let with_threads = |threads: usize| -> anyhow::Result<u64> {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build()?;
        Ok(pool.install(|| global_norm(&grads))?.to_bits())
    };
    let single = with_threads(1)?;
    for threads in [2, 3, 8] {
        assert_eq!(with_threads(threads)?, single);
    }
    Ok(())
}

#[test]
fn a_norm_that_is_not_finite_shows() -> anyhow::Result<()> {
    let norm = |x: f32| global_norm(&named(vec![Tensor::new(&[1f32, x], &Device::Cpu)?]));
    assert!(norm(f32::NAN)?.is_nan());
    assert!(norm(f32::NEG_INFINITY)?.is_infinite());
    assert!(norm(f32::MAX)?.is_finite());
    Ok(())
}

#[test]
fn factor_shrinks_and_never_grows() -> anyhow::Result<()> {
    let exact = Tolerance::EXACT;
    assert_close_scalar(clip_factor(4.0, 1.0), 1.0 / 4.000_001, exact)?;
    assert_close_scalar(clip_factor(0.5, 1.0), 1.0, exact)?;
    assert_close_scalar(clip_factor(0.0, 1.0), 1.0, exact)?;
    assert_close_scalar(clip_factor(1e30, f64::INFINITY), 1.0, exact)?;
    assert!(clip_factor(f64::NAN, 1.0).is_nan());
    Ok(())
}
