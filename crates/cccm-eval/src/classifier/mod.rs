//! The judge: a small convolutional network that names the labels of an image.

mod augment;
mod file;
mod train;

use std::collections::BTreeMap;

use candle_core::{D, DType, Device, Result as CandleResult, Tensor, Var};
use candle_nn::ops::silu;
use cccm_kernels::{Conv2dConfig, GroupNormConfig, conv2d, group_norm_silu};
use cccm_sched::{LabelKind, Streams};
use rand::Rng;
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

pub use augment::Augmentation;
pub use train::{ClassifierTraining, LabelledBatch};

/// Channels of the first stage; every stage that halves the image doubles them, up to [`MAX_CHANNELS`].
const FIRST_CHANNELS: usize = 32;
const MAX_CHANNELS: usize = 128;
/// Side of the last map, at most: small enough to flatten, large enough to tell where strokes are.
const LAST_PX: usize = 4;
/// Values that describe an image, from which every label is read.
const FEATURES: usize = 128;
const NORM_GROUPS: usize = 8;
const NORM_EPS: f64 = 1e-5;
/// Images that go through the network at once.
const BATCH: usize = 64;

/// What a classifier is for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClassifierConfig {
    /// Side of the images, at least 8.
    pub image_px: usize,
    /// The label kinds to name, one head each; at least one, none of them empty.
    pub labels: Vec<LabelKind>,
}

impl ClassifierConfig {
    /// Checks every field.
    ///
    /// # Errors
    /// [`Error::InvalidConfig`] for the first value out of range.
    pub fn validate(&self) -> Result<()> {
        if self.image_px < 2 * LAST_PX {
            return Err(Error::invalid("image_px", self.image_px, "at least 8"));
        }
        if self.labels.is_empty() || self.labels.iter().any(|kind| kind.names.is_empty()) {
            return Err(Error::invalid("labels", "empty", "at least one kind, each with a label"));
        }
        Ok(())
    }

    /// Input and output channels of every stage; each but the first halves the image.
    fn stages(&self) -> Vec<(usize, usize)> {
        let mut stages = vec![(3, FIRST_CHANNELS)];
        let (mut px, mut channels) = (self.image_px, FIRST_CHANNELS);
        while px > LAST_PX {
            let wider = (2 * channels).min(MAX_CHANNELS);
            stages.push((channels, wider));
            (px, channels) = (px.div_ceil(2), wider);
        }
        stages
    }

    /// Values of the last stage's map.
    fn flat(&self) -> usize {
        let halvings = self.stages().len() - 1;
        let px = (0..halvings).fold(self.image_px, |px, _| px.div_ceil(2));
        self.stages().last().map_or(0, |(_, channels)| channels * px * px)
    }

    /// Name and shape of every parameter.
    fn parameters(&self) -> BTreeMap<String, Vec<usize>> {
        let mut shapes = BTreeMap::new();
        let mut layer = |name: String, weight: Vec<usize>| {
            shapes.insert(format!("{name}.bias"), vec![weight[0]]);
            shapes.insert(format!("{name}.weight"), weight);
        };
        for (index, (from, to)) in self.stages().into_iter().enumerate() {
            layer(format!("stages.{index}.conv"), vec![to, from, 3, 3]);
            layer(format!("stages.{index}.norm"), vec![to]);
        }
        layer("features".to_owned(), vec![FEATURES, self.flat()]);
        for (index, kind) in self.labels.iter().enumerate() {
            layer(format!("heads.{index}"), vec![kind.names.len(), FEATURES]);
        }
        shapes
    }
}

/// A network that names the labels of images, one head per label kind.
///
/// 3×3 convolutions halve the image down to 4×4, each followed by group norm and SiLU; a linear layer makes 128
/// features of the last map, and every label is read from those. The features are also what distances between sets of
/// images are computed on.
#[derive(Clone, Debug)]
pub struct Classifier {
    config: ClassifierConfig,
    vars: BTreeMap<String, Var>,
}

/// What a classifier says about images.
#[derive(Clone, Debug)]
pub struct Answers {
    /// `(images, 128)`, `f32`.
    pub features: Tensor,
    /// Per label kind the most likely label of every image.
    pub labels: Vec<Vec<u32>>,
}

impl Classifier {
    /// An untrained classifier: weights uniform on ±√(6 / `fan_in`) (He et al. 2015, eq. 10), biases zero.
    ///
    /// # Errors
    /// [`Error::InvalidConfig`] for a value out of range.
    pub fn init(config: &ClassifierConfig, streams: &Streams) -> Result<Self> {
        config.validate()?;
        let initial = |(name, shape): (String, Vec<usize>)| -> Result<_> {
            let fan_in: usize = shape.iter().skip(1).product();
            let value = match (name.ends_with("weight"), shape.len()) {
                (true, 1) => Tensor::ones(shape, DType::F32, &Device::Cpu)?,
                (true, _) => {
                    let bound = (6.0 / fan_in as f64).sqrt() as f32;
                    let mut rng = streams.stream(&name, 0, 0);
                    let values: Vec<f32> =
                        (0..shape.iter().product()).map(|_| rng.random_range(-bound..bound)).collect();
                    Tensor::from_vec(values, shape, &Device::Cpu)?
                }
                (false, _) => Tensor::zeros(shape, DType::F32, &Device::Cpu)?,
            };
            Ok((name, Var::from_tensor(&value)?))
        };
        let vars = config.parameters().into_iter().map(initial).collect::<Result<_>>()?;
        Ok(Self { config: config.clone(), vars })
    }

    /// What it is for.
    pub fn config(&self) -> &ClassifierConfig {
        &self.config
    }

    /// Features and labels of images `(n, 3, image_px, image_px)`, `f32` in `[-1, 1]`, on the CPU. An image's answer
    /// does not depend on the others.
    ///
    /// # Errors
    /// [`Error::Shape`] for images of another size.
    pub fn answer(&self, images: &Tensor) -> Result<Answers> {
        let n = self.check_images(images)?;
        let tensors = self.vars.iter().map(|(name, var)| (name.as_str(), var.as_detached_tensor())).collect();
        let (mut features, mut labels) = (Vec::new(), vec![Vec::with_capacity(n); self.config.labels.len()]);
        for start in (0..n).step_by(BATCH) {
            let part = images.narrow(0, start, BATCH.min(n - start))?;
            let part_features = self.features(&tensors, &part)?;
            for (all, logits) in labels.iter_mut().zip(self.logits(&tensors, &part_features)?) {
                all.extend(logits.argmax(D::Minus1)?.to_vec1::<u32>()?);
            }
            features.push(part_features);
        }
        // candle concatenates no empty lists.
        features.push(Tensor::zeros((0, FEATURES), DType::F32, &Device::Cpu)?);
        let features = Tensor::cat(&features, 0)?;
        Ok(Answers { features, labels })
    }

    fn check_images(&self, images: &Tensor) -> Result<usize> {
        let px = self.config.image_px;
        match images.dims() {
            &[n, 3, h, w] if h == px && w == px => Ok(n),
            got => {
                Err(Error::Shape { what: "images", got: got.to_vec(), want: format!("(n, 3, {px}, {px})") })
            }
        }
    }

    fn features(&self, tensors: &BTreeMap<&str, Tensor>, images: &Tensor) -> CandleResult<Tensor> {
        let get = |name: &str| &tensors[name];
        let mut x = images.clone();
        for index in 0..self.config.stages().len() {
            let stage = |part: &str| get(&format!("stages.{index}.{part}")).clone();
            let cfg = Conv2dConfig::new(if index == 0 { 1 } else { 2 }, 1);
            x = conv2d(&x, &stage("conv.weight"), Some(&stage("conv.bias")), cfg)?;
            x = group_norm_silu(
                &x,
                &stage("norm.weight"),
                &stage("norm.bias"),
                GroupNormConfig::new(NORM_GROUPS, NORM_EPS),
            )?;
        }
        silu(&linear(&x.flatten_from(1)?, get("features.weight"), get("features.bias"))?)
    }

    /// Per label kind `(n, labels)`.
    fn logits(&self, tensors: &BTreeMap<&str, Tensor>, features: &Tensor) -> CandleResult<Vec<Tensor>> {
        let head = |index: usize| {
            let part = |part: &str| &tensors[format!("heads.{index}.{part}").as_str()];
            linear(features, part("weight"), part("bias"))
        };
        (0..self.config.labels.len()).map(head).collect()
    }
}

fn linear(x: &Tensor, weight: &Tensor, bias: &Tensor) -> CandleResult<Tensor> {
    x.matmul(&weight.t()?)?.broadcast_add(bias)
}
