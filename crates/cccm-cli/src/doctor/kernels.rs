//! Every operation of a network, computed where it is to be checked and in plain code on the CPU.

use candle_core::{DType, Device, Result, Tensor, Var};
use cccm_kernels::{
    Conv2dConfig, GroupNormConfig, ImageLayout, add, backward, cat_channels, conv2d, group_norm_silu,
    portably, upsample_nearest_2x,
};
use cccm_sched::Streams;
use serde::Serialize;

/// An operation and its gradients, compared.
#[derive(Serialize)]
pub(super) struct Checked {
    pub(super) operation: &'static str,
    pub(super) dtype: &'static str,
    /// The largest difference of a value or gradient, as a part of the largest value.
    pub(super) error: Option<f64>,
    /// Why there is no error.
    pub(super) failure: Option<String>,
    pub(super) tolerance: f64,
}

/// An operation, and the shapes of what it takes.
struct Operation {
    name: &'static str,
    shapes: &'static [&'static [usize]],
    run: fn(&[Tensor]) -> Result<Tensor>,
}

const LAYOUT: ImageLayout = ImageLayout::ChannelsFirst;
const SAME: Conv2dConfig = Conv2dConfig::new(1, 1);
const HALVING: Conv2dConfig = Conv2dConfig::new(2, 1);
const POINTWISE: Conv2dConfig = Conv2dConfig::new(1, 0);

const OPERATIONS: [Operation; 7] = [
    Operation {
        name: "convolution 3×3",
        shapes: &[&[2, 64, 24, 24], &[96, 64, 3, 3], &[96]],
        run: |args| conv2d(&args[0], &args[1], Some(&args[2]), SAME),
    },
    Operation {
        name: "convolution 3×3, stride 2",
        shapes: &[&[2, 64, 24, 24], &[96, 64, 3, 3], &[96]],
        run: |args| conv2d(&args[0], &args[1], Some(&args[2]), HALVING),
    },
    Operation {
        name: "convolution 1×1, a bias per sample",
        shapes: &[&[2, 64, 24, 24], &[96, 64, 1, 1], &[2, 96]],
        run: |args| conv2d(&args[0], &args[1], Some(&args[2]), POINTWISE),
    },
    Operation {
        name: "GroupNorm + SiLU",
        shapes: &[&[2, 64, 24, 24], &[64], &[64]],
        run: |args| group_norm_silu(&args[0], &args[1], &args[2], GroupNormConfig::new(32, 1e-5)),
    },
    Operation {
        name: "upsampling",
        shapes: &[&[2, 64, 12, 12]],
        run: |args| upsample_nearest_2x(&args[0], LAYOUT),
    },
    Operation {
        name: "sum",
        shapes: &[&[2, 64, 24, 24], &[2, 64, 24, 24]],
        run: |args| add(&args[0], &args[1]),
    },
    Operation {
        name: "concatenation",
        shapes: &[&[2, 64, 24, 24], &[2, 32, 24, 24]],
        run: |args| cat_channels(&args[0], &args[1], LAYOUT),
    },
];

/// Checks all operations.
pub(super) fn check(device: &Device, dtype: DType) -> Vec<Checked> {
    let tolerance = if dtype == DType::F32 { 1e-4 } else { 2e-2 };
    let check =
        |operation: &Operation| Checked::new(operation, dtype, tolerance, operation.error(device, dtype));
    OPERATIONS.iter().map(check).collect()
}

impl Checked {
    fn new(operation: &Operation, dtype: DType, tolerance: f64, outcome: Result<f64>) -> Self {
        let (error, failure) = match outcome {
            Ok(error) => (Some(error), None),
            Err(failure) => (None, Some(failure.to_string())),
        };
        Self { operation: operation.name, dtype: dtype.as_str(), error, failure, tolerance }
    }

    /// What is wrong, if anything is.
    pub(super) fn problem(&self, place: &str) -> Option<String> {
        let what = format!("{} of {} on {place}", self.operation, self.dtype);
        match (self.error, &self.failure) {
            // This is false for NaN.
            (Some(error), _) if error <= self.tolerance => None,
            (Some(error), _) => {
                Some(format!("{what} is off by {error:.0e}, more than {:.0e}", self.tolerance))
            }
            (None, failure) => Some(format!("{what} fails: {}", failure.as_deref().unwrap_or("unknown why"))),
        }
    }

    pub(super) fn is_good(&self) -> bool {
        self.problem("").is_none()
    }
}

impl Operation {
    /// The largest difference of the value and all gradients.
    fn error(&self, device: &Device, dtype: DType) -> Result<f64> {
        let rounded = |t: Tensor| t.to_dtype(dtype)?.to_dtype(DType::F32);
        let args = self.shapes.iter().enumerate();
        let args: Vec<Tensor> = args
            .map(|(index, shape)| rounded(normal(&format!("{} {index}", self.name), shape)?))
            .collect::<Result<_>>()?;
        let there: Vec<Tensor> =
            args.iter().map(|arg| arg.to_dtype(dtype)?.to_device(device)).collect::<Result<_>>()?;
        let want = portably(|| self.results(&args))?;
        let got = self.results(&there)?;
        let errors = got.iter().zip(&want).map(|(got, want)| difference(got, want));
        errors.collect::<Result<Vec<_>>>().map(|errors| errors.into_iter().fold(0.0, worse))
    }

    /// The value, and the gradient of each argument, for a fixed gradient of the value.
    fn results(&self, args: &[Tensor]) -> Result<Vec<Tensor>> {
        let vars = args.iter().map(Var::from_tensor).collect::<Result<Vec<_>>>()?;
        let tracked: Vec<Tensor> = vars.iter().map(|var| var.as_tensor().clone()).collect();
        let value = (self.run)(&tracked)?;
        let direction =
            normal("direction", value.dims())?.to_dtype(value.dtype())?.to_device(value.device())?;
        let gradients = backward(&(&value * direction)?.sum_all()?)?;
        let mut results = vec![value.detach()];
        for var in &vars {
            match gradients.get(var) {
                Some(gradient) => results.push(gradient.clone()),
                None => candle_core::bail!("an argument gets no gradient"),
            }
        }
        Ok(results)
    }
}

/// NaN is the worst of all.
fn worse(a: f64, b: f64) -> f64 {
    if a.is_nan() || b.is_nan() { f64::NAN } else { a.max(b) }
}

fn normal(name: &str, shape: &[usize]) -> Result<Tensor> {
    Streams::new(0).draws(0, 0..1).normal(name, shape)?.squeeze(0)
}

/// As a part of the largest value.
fn difference(got: &Tensor, want: &Tensor) -> Result<f64> {
    let numbers = |t: &Tensor| {
        t.to_device(&Device::Cpu)?.to_dtype(DType::F64)?.contiguous()?.flatten_all()?.to_vec1::<f64>()
    };
    let (got, want) = (numbers(got)?, numbers(want)?);
    let largest = want.iter().fold(0.0, |largest, value| worse(largest, value.abs()));
    Ok(got.iter().zip(&want).fold(0.0, |error, (got, want)| worse(error, (got - want).abs())) / largest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cpu_passes() {
        for check in check(&Device::Cpu, DType::F32) {
            assert_eq!(check.problem("the CPU"), None);
        }
    }

    #[test]
    fn wrong_results_and_failures_are_problems() {
        let wrong = Operation {
            name: "wrong on other kernels",
            shapes: &[&[1, 1, 2, 2]],
            // The reference runs on one thread, portably; whoever looks at that tells them apart.
            run: |args| {
                args[0].affine(if cccm_kernels::instruction_set() == "portable" { 1.0 } else { 1.01 }, 0.0)
            },
        };
        let checked = |outcome| Checked::new(&wrong, DType::F32, 1e-4, outcome);
        let is_plain = portably(cccm_kernels::instruction_set) == cccm_kernels::instruction_set();
        let error = wrong.error(&Device::Cpu, DType::F32).unwrap();
        assert!(is_plain || (error - 0.01).abs() < 1e-3, "{error}");
        assert!(checked(Ok(error)).problem("here").is_some() || is_plain);
        assert!(checked(Ok(f64::NAN)).problem("here").is_some());
        assert!(checked(Ok(1e-5)).is_good());
        let problem = checked(Err(candle_core::Error::Msg("boom".to_owned()))).problem("here").unwrap();
        assert_eq!(problem, "wrong on other kernels of f32 on here fails: boom");
    }

    #[test]
    fn nan_is_a_difference() {
        let t = |value: f32| Tensor::new(&[1.0, value], &Device::Cpu).unwrap();
        assert!(difference(&t(f32::NAN), &t(2.0)).unwrap().is_nan());
        assert_eq!(difference(&t(2.5), &t(2.0)).unwrap(), 0.25);
    }
}
