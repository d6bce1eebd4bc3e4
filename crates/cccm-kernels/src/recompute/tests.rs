use std::sync::atomic::{AtomicUsize, Ordering};

use candle_core::{DType, Device, Result, Tensor, Var};

use super::*;
use crate::testing::{assert_close, values};
use crate::{Conv2dConfig, GroupNormConfig, conv2d, group_norm_silu};

/// A block with two inputs and four parameters.
struct Block {
    parameters: [Tensor; 4],
}

impl Block {
    fn new() -> Result<Self> {
        let var = |shape: &[usize], seed| Var::from_tensor(&values(shape, seed)?);
        let vars = [var(&[8], 1)?, var(&[8], 2)?, var(&[8, 8, 3, 3], 3)?, var(&[8], 4)?];
        Ok(Self { parameters: vars.map(|var| var.as_tensor().clone()) })
    }

    fn forward(parameters: &[Tensor; 4], inputs: &[Tensor]) -> Result<Tensor> {
        let [scale, shift, weight, bias] = parameters;
        let h = group_norm_silu(&inputs[0], scale, shift, GroupNormConfig::new(4, 1e-5))?;
        let bias = inputs[1].broadcast_add(bias)?;
        conv2d(&h, weight, Some(&bias), Conv2dConfig::new(1, 1))? + &inputs[0]
    }

    /// As it is, or computed twice.
    fn run(&self, inputs: &[Tensor], twice: Option<&Arc<AtomicUsize>>) -> Result<Tensor> {
        let parameters = self.parameters.clone();
        let Some(calls) = twice.cloned() else { return Self::forward(&parameters, inputs) };
        let counted = move |inputs: &[Tensor]| {
            calls.fetch_add(1, Ordering::Relaxed);
            Self::forward(&parameters, inputs)
        };
        recompute(counted, inputs, &self.parameters)
    }
}

/// Two blocks in a row, the first one's input used once more behind them. Gradients are added up in another order.
#[test]
fn equals_keeping_everything() -> Result<()> {
    let blocks = [Block::new()?, Block::new()?];
    let x = Var::from_tensor(&values(&[2, 8, 6, 6], 5)?)?;
    let shift = Var::from_tensor(&values(&[2, 8], 6)?)?;
    let run = |twice: Option<&Arc<AtomicUsize>>| -> Result<(Tensor, Vec<Tensor>)> {
        let x_0 = x.as_tensor().clone();
        let h = blocks[0].run(&[x_0.clone(), shift.as_tensor().clone()], twice)?;
        let y = (blocks[1].run(&[h, shift.as_tensor().clone()], twice)? + &x_0)?;
        let store = y.sqr()?.sum_all()?.backward()?;
        let sources =
            blocks.iter().flat_map(|block| &block.parameters).chain([x.as_tensor(), shift.as_tensor()]);
        let grads = sources.map(|source| match store.get(source) {
            Some(grad) => Ok(grad.clone()),
            None => candle_core::bail!("no gradient"),
        });
        Ok((y, grads.collect::<Result<_>>()?))
    };
    let calls = Arc::new(AtomicUsize::new(0));
    let (y, grads) = run(None)?;
    let (y_twice, grads_twice) = run(Some(&calls))?;
    assert_eq!(calls.load(Ordering::Relaxed), 4, "each of two blocks twice");
    assert_close("value", &y_twice, &y, 0.0);
    for (i, (got, want)) in grads_twice.iter().zip(&grads).enumerate() {
        assert_close(&format!("gradient {i}"), got, want, 1e-6);
    }
    Ok(())
}

#[test]
fn without_anything_to_learn_it_is_one_call() -> Result<()> {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = {
        let calls = Arc::clone(&calls);
        move |inputs: &[Tensor]| {
            calls.fetch_add(1, Ordering::Relaxed);
            inputs[0].sqr()
        }
    };
    let y = recompute(counted, &[values(&[3], 1)?], &[])?;
    assert!(!y.track_op());
    assert_eq!(calls.load(Ordering::Relaxed), 1);
    Ok(())
}

/// A parameter listed twice, one that is an input as well, a view as the result, one part within another, another dtype.
#[test]
fn unusual_sources_and_results() -> Result<()> {
    for dtype in [DType::F32, DType::F64] {
        let var = |seed| Var::from_tensor(&values(&[4, 3], seed)?.to_dtype(dtype)?);
        let (w, x) = (var(1)?.as_tensor().clone(), var(2)?.as_tensor().clone());
        let plain = {
            let w = w.clone();
            move |inputs: &[Tensor]| ((&inputs[0] * &w)? * &inputs[1])?.narrow(0, 1, 2)
        };
        let nested = {
            let (plain, w) = (plain.clone(), w.clone());
            move |inputs: &[Tensor]| recompute(plain.clone(), inputs, std::slice::from_ref(&w))?.sqr()
        };
        let inputs = [x.clone(), w.clone()];
        let parameters = [w.clone(), w.clone()];
        let got = recompute(nested, &inputs, &parameters)?.sum_all()?.backward()?;
        let want = plain(&inputs)?.sqr()?.sum_all()?.backward()?;
        for source in [&w, &x] {
            assert_close("gradient", got.get(source).unwrap(), want.get(source).unwrap(), 1e-6);
        }
    }
    Ok(())
}

/// As a network in half precision has it: features in 16 bits, parameters in 32.
#[test]
fn half_precision_is_recomputed() -> Result<()> {
    let (w, x) = (Var::from_tensor(&values(&[3], 1)?)?, Var::from_tensor(&values(&[3], 2)?)?);
    let f = {
        let w = w.as_tensor().clone();
        move |x: &[Tensor]| x[0].mul(&w.to_dtype(DType::BF16)?)?.sqr()
    };
    let inputs = [x.to_dtype(DType::BF16)?];
    let loss = |y: &Tensor| y.to_dtype(DType::F32)?.sum_all();
    let got = loss(&recompute(f.clone(), &inputs, &[w.as_tensor().clone()])?)?.backward()?;
    let want = loss(&f(&inputs)?)?.backward()?;
    for source in [&w, &x] {
        assert_close("gradient", got.get(source).unwrap(), want.get(source).unwrap(), 1e-6);
    }
    Ok(())
}

#[test]
fn what_cannot_be_recomputed_is_named() -> Result<()> {
    let w = Var::from_tensor(&values(&[3], 1)?)?;
    let computed = w.sqr()?;
    let x = [w.as_tensor().clone()];
    let message = recompute(|x| x[0].sqr(), &x, &[computed]).unwrap_err().to_string();
    assert!(message.contains("is no variable; make it an input"), "{message}");
    let message = recompute(|x| x[0].to_dtype(DType::F16), &x, &[]).unwrap_err().to_string();
    assert!(message.contains("must be f32, f64 or bf16, got F16"), "{message}");
    Ok(())
}

/// The kernels of the first time are those of the second.
#[test]
fn portably_reaches_the_second_time() -> Result<()> {
    let x = [Var::from_tensor(&values(&[3], 1)?)?.as_tensor().clone()];
    let seen = Arc::new(Mutex::new(Vec::new()));
    let f = {
        let seen = Arc::clone(&seen);
        move |x: &[Tensor]| {
            seen.lock().unwrap().push(is_portable());
            x[0].sqr()
        }
    };
    portably(|| recompute(f, &x, &[]))?.sum_all()?.backward()?;
    assert_eq!(*seen.lock().unwrap(), [true, true]);
    Ok(())
}

/// Gradients of a source that `f` does not use are zeros, and errors of `f` come through.
#[test]
fn unused_sources_and_errors() -> Result<()> {
    let used = Var::from_tensor(&values(&[3], 1)?)?;
    let unused = Var::from_tensor(&values(&[4], 2)?)?;
    let sources = [used.as_tensor().clone(), unused.as_tensor().clone()];
    let store = recompute(|inputs| inputs[0].sqr(), &sources, &[])?.sum_all()?.backward()?;
    assert_close("used", store.get(&used).unwrap(), &(used.as_tensor() * 2.0)?, 0.0);
    assert_close("unused", store.get(&unused).unwrap(), &unused.zeros_like()?, 0.0);

    let other = Tensor::zeros(5, DType::F32, &Device::Cpu)?;
    assert!(recompute(move |inputs| &inputs[0] + &other, &sources, &[]).is_err());
    Ok(())
}
