//! The network of a classifier.

use candle_core::{Result, Tensor};
use candle_nn::ops::silu;
use candle_nn::{Init, VarBuilder};
use cccm_kernels::{Conv2dConfig, GroupNormConfig, conv2d, group_norm_silu};
use cccm_labels::LabelKind;

use super::ClassifierConfig;

/// Values that describe an image, from which every label is read.
pub(super) const FEATURES: usize = 128;
const NORM_GROUPS: usize = 8;
const NORM_EPS: f64 = 1e-5;

/// The layers of a classifier over their tensors.
#[derive(Clone, Debug)]
pub(super) struct Network {
    stages: Vec<Stage>,
    features: Layer,
    heads: Vec<Layer>,
}

/// A 3×3 convolution, group norm and SiLU; every stage but the first halves the image.
#[derive(Clone, Debug)]
struct Stage {
    conv: Layer,
    norm: Layer,
    cfg: Conv2dConfig,
}

/// Weight and bias.
#[derive(Clone, Debug)]
struct Layer {
    weight: Tensor,
    bias: Tensor,
}

impl Network {
    pub(super) fn new(config: &ClassifierConfig, vb: VarBuilder<'_>) -> Result<Self> {
        let stage = |(index, (from, to)): (usize, (usize, usize))| -> Result<Stage> {
            let vb = vb.pp("stages").pp(index);
            Ok(Stage {
                conv: Layer::new(&[to, from, 3, 3], vb.pp("conv"))?,
                norm: Layer::with(&[to], Init::Const(1.0), vb.pp("norm"))?,
                cfg: Conv2dConfig::new(if index == 0 { 1 } else { 2 }, 1),
            })
        };
        let head = |(index, kind): (usize, &LabelKind)| {
            Layer::new(&[kind.names.len(), FEATURES], vb.pp("heads").pp(index))
        };
        Ok(Self {
            stages: config.stages().into_iter().enumerate().map(stage).collect::<Result<_>>()?,
            features: Layer::new(&[FEATURES, config.flat()], vb.pp("features"))?,
            heads: config.labels.iter().enumerate().map(head).collect::<Result<_>>()?,
        })
    }

    /// - `images`: `(n, 3, image_px, image_px)`; result: `(n, 128)`
    pub(super) fn features(&self, images: &Tensor) -> Result<Tensor> {
        let mut x = images.clone();
        for Stage { conv, norm, cfg } in &self.stages {
            x = conv2d(&x, &conv.weight, Some(&conv.bias), *cfg)?;
            x = group_norm_silu(&x, &norm.weight, &norm.bias, GroupNormConfig::new(NORM_GROUPS, NORM_EPS))?;
        }
        silu(&self.features.forward(&x.flatten_from(1)?)?)
    }

    /// Per label kind `(n, labels)`.
    pub(super) fn logits(&self, features: &Tensor) -> Result<Vec<Tensor>> {
        self.heads.iter().map(|head| head.forward(features)).collect()
    }
}

impl Layer {
    /// Weights uniform on ±√(6 / `fan_in`) (He et al. 2015, eq. 10), biases zero.
    fn new(shape: &[usize], vb: VarBuilder<'_>) -> Result<Self> {
        let fan_in: usize = shape.iter().skip(1).product();
        let bound = (6.0 / fan_in as f64).sqrt();
        Self::with(shape, Init::Uniform { lo: -bound, up: bound }, vb)
    }

    fn with(shape: &[usize], init: Init, vb: VarBuilder<'_>) -> Result<Self> {
        let weight = vb.get_with_hints(shape, "weight", init)?;
        Ok(Self { bias: vb.get_with_hints(weight.dim(0)?, "bias", Init::Const(0.0))?, weight })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        x.matmul(&self.weight.t()?)?.broadcast_add(&self.bias)
    }
}
