//! Convolution, batch normalization and ReLU.

use std::collections::BTreeMap;

use candle_core::{D, DType, Result as CandleResult, Tensor};
use cccm_kernels::{Conv2dConfig, conv2d};

use super::plan::{Border, ConvPlan};
use crate::{Error, Result};

/// As TensorFlow's, from which the weights came.
const NORM_EPS: f64 = 1e-3;

/// A convolution with the normalization folded into its weights, then ReLU.
#[derive(Debug)]
pub(super) struct Conv {
    weight: Tensor,
    bias: Tensor,
    kernel: Kernel,
}

#[derive(Clone, Copy, Debug)]
enum Kernel {
    Square(Conv2dConfig),
    /// A padded kernel along one axis, of this length and one pixel wide. It is computed as a 1×1 convolution
    /// of shifted copies of the input, concatenated along the channels.
    Line(usize, usize),
}

impl Conv {
    /// Over the weights `{prefix}{name}.conv.weight` and `{prefix}{name}.bn.…`; the input has `channels`.
    pub(super) fn new(
        plan: &ConvPlan,
        prefix: &str,
        channels: usize,
        weights: &BTreeMap<String, Tensor>,
    ) -> Result<Self> {
        let find =
            |name: &str, shape: &[usize]| find(weights, &format!("{prefix}{}.{name}", plan.name), shape);
        let vector = |name: &str| find(&format!("bn.{name}"), &[plan.channels]);
        let (height, width) = plan.kernel;
        let weight = find("conv.weight", &[plan.channels, channels, height, width])?;
        let scale = (vector("weight")? / (vector("running_var")? + NORM_EPS)?.sqrt()?)?;
        let bias = (vector("bias")? - (vector("running_mean")? * &scale)?)?.contiguous()?;
        let weight = weight.broadcast_mul(&scale.reshape((plan.channels, 1, 1, 1))?)?;
        let kernel = match (plan.border, height, width) {
            (Border::Padded, 1, len) if len > 1 => Kernel::Line(3, len),
            (Border::Padded, len, 1) if len > 1 => Kernel::Line(2, len),
            (Border::Padded, size, _) => Kernel::Square(Conv2dConfig::new(1, size / 2)),
            (Border::Cut, ..) => Kernel::Square(Conv2dConfig::new(1, 0)),
            (Border::CutAndHalved, ..) => Kernel::Square(Conv2dConfig::new(2, 0)),
        };
        let weight = match kernel {
            Kernel::Square(_) => weight,
            Kernel::Line(_, len) => {
                let by_shift = weight.flatten_from(2)?.transpose(1, 2)?;
                by_shift.reshape((plan.channels, len * channels, 1, 1))?
            }
        };
        Ok(Self { weight: weight.contiguous()?, bias, kernel })
    }

    pub(super) fn forward(&self, x: &Tensor) -> CandleResult<Tensor> {
        let convolved = match self.kernel {
            Kernel::Square(cfg) => conv2d(x, &self.weight, Some(&self.bias), cfg),
            Kernel::Line(axis, len) => {
                let point = Conv2dConfig::new(1, 0);
                conv2d(&shifted(x, axis, len)?, &self.weight, Some(&self.bias), point)
            }
        };
        convolved?.relu()
    }
}

/// `len` copies of `(batch, channels, h, w)` side by side along the channels, each one pixel further along `axis`, from
/// `len / 2` before the image's start; zeros outside.
fn shifted(x: &Tensor, axis: usize, len: usize) -> CandleResult<Tensor> {
    let size = x.dim(axis)?;
    let padded = x.pad_with_zeros(axis, len / 2, len / 2)?;
    let copies = (0..len).map(|start| padded.narrow(axis, start, size));
    Tensor::cat(&copies.collect::<CandleResult<Vec<_>>>()?, D::Minus(3))
}

/// A weight of this shape, in `f32`.
fn find(weights: &BTreeMap<String, Tensor>, name: &str, shape: &[usize]) -> Result<Tensor> {
    let tensor = weights.get(name).ok_or_else(|| Error::MissingWeight { name: name.to_owned() })?;
    if tensor.dims() != shape {
        let (got, want) = (tensor.dims().to_vec(), shape.to_vec());
        return Err(Error::WeightShape { name: name.to_owned(), got, want });
    }
    Ok(tensor.to_dtype(DType::F32)?)
}
