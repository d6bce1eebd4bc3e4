//! What the tests of all operations share.

use candle_core::{DType, Device, Result, Tensor, Var};

use crate::isa::Isa;

/// Reproducible values between -1 and 1.
pub(crate) fn values(shape: &[usize], seed: u32) -> Result<Tensor> {
    let mut state = seed.wrapping_mul(2_654_435_761).wrapping_add(12_345);
    let data: Vec<f32> = (0..shape.iter().product())
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 23) as f32 - 1.0
        })
        .collect();
    Tensor::from_vec(data, shape, &Device::Cpu)
}

/// Largest difference between the elements of two tensors, relative to the largest element of `want`.
#[track_caller]
pub(crate) fn assert_close(what: &str, got: &Tensor, want: &Tensor, tolerance: f64) {
    assert_eq!(got.dims(), want.dims(), "{what}: shape");
    let flat = |t: &Tensor| t.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1::<f64>().unwrap();
    let (got, want) = (flat(got), flat(want));
    let scale = want.iter().fold(1e-3, |max: f64, v| max.max(v.abs()));
    for (i, (got, want)) in got.iter().zip(&want).enumerate() {
        let error = (got - want).abs() / scale;
        assert!(error <= tolerance, "{what}: element {i} is {got}, want {want} (scale {scale:e})");
    }
}

/// An operation on some tensors.
pub(crate) type Op<'a> = &'a dyn Fn(&[Tensor]) -> Result<Tensor>;

/// The operation's value at `args`, and the gradients of `sum(value * direction)`, `direction` being arbitrary but fixed.
pub(crate) fn value_and_grads(op: Op<'_>, args: &[Tensor]) -> Result<(Tensor, Vec<Tensor>)> {
    let vars = args.iter().map(Var::from_tensor).collect::<Result<Vec<_>>>()?;
    let y = op(&vars.iter().map(|var| var.as_tensor().clone()).collect::<Vec<_>>())?;
    let grads = (&y * direction(&y)?)?.sum_all()?.backward()?;
    let grads = vars.iter().map(|var| match grads.get(var) {
        Some(grad) => Ok(grad.clone()),
        None => candle_core::bail!("no gradient"),
    });
    Ok((y, grads.collect::<Result<_>>()?))
}

fn direction(y: &Tensor) -> Result<Tensor> {
    values(y.dims(), 99)?.to_dtype(y.dtype())
}

/// Checks `op` in `f32` against `reference` in `f64`: the value and all gradients.
#[track_caller]
pub(crate) fn assert_matches(what: &str, op: Op<'_>, reference: Op<'_>, args: &[Tensor], tolerance: f64) {
    let args_f64: Vec<_> = args.iter().map(|arg| arg.to_dtype(DType::F64).unwrap()).collect();
    let (got, got_grads) = value_and_grads(op, args).unwrap();
    let (want, want_grads) = value_and_grads(reference, &args_f64).unwrap();
    assert_close(&format!("{what}: value"), &got, &want, tolerance);
    for (i, (got, want)) in got_grads.iter().zip(&want_grads).enumerate() {
        assert_close(&format!("{what}: gradient {i}"), got, want, tolerance);
    }
}

/// Checks the gradients of `reference` in `f64` against central differences of its values.
pub(crate) fn assert_gradients_are_slopes(
    what: &str,
    reference: impl Fn(&[Tensor]) -> Result<Tensor> + Sync,
    args: &[Tensor],
) {
    // Thousands of tiny operations: on one thread they need not wait for each other's wake-up.
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    pool.install(|| compare_gradients_with_slopes(what, &reference, args));
}

fn compare_gradients_with_slopes(what: &str, reference: Op<'_>, args: &[Tensor]) {
    const STEP: f64 = 1e-4;
    let args: Vec<_> = args.iter().map(|arg| arg.to_dtype(DType::F64).unwrap()).collect();
    let (_, grads) = value_and_grads(reference, &args).unwrap();
    let loss = |args: &[Tensor]| {
        let y = reference(args).unwrap();
        (&y * direction(&y).unwrap()).unwrap().sum_all().unwrap().to_scalar::<f64>().unwrap()
    };
    for (i, (arg, grad)) in args.iter().zip(&grads).enumerate() {
        let base = arg.flatten_all().unwrap().to_vec1::<f64>().unwrap();
        let slopes: Vec<f64> = (0..base.len())
            .map(|at| {
                let moved = |step: f64| {
                    let mut data = base.clone();
                    data[at] += step;
                    let mut args = args.clone();
                    args[i] = Tensor::from_vec(data, arg.shape(), &Device::Cpu).unwrap();
                    loss(&args)
                };
                (moved(STEP) - moved(-STEP)) / (2.0 * STEP)
            })
            .collect();
        let slopes = Tensor::from_vec(slopes, arg.shape(), &Device::Cpu).unwrap();
        assert_close(&format!("{what}: slope {i}"), grad, &slopes, 1e-6);
    }
}

/// Runs `test` once for every instruction set of this CPU.
pub(crate) fn for_each_isa(test: impl Fn(Isa)) {
    Isa::available().into_iter().for_each(test);
}

/// The same values in a tensor whose storage has them in another order, behind others.
pub(crate) fn strided(t: &Tensor) -> Result<Tensor> {
    let last = t.rank() - 1;
    let padded = Tensor::cat(&[&t.zeros_like()?, t, &t.ones_like()?], 0)?;
    let permuted = padded.transpose(0, last)?.contiguous()?.transpose(0, last)?;
    permuted.narrow(0, t.dim(0)?, t.dim(0)?)
}
