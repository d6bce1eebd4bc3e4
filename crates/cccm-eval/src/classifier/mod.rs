//! The judge: a small convolutional network that names the labels of an image.

mod augment;
mod config;
mod file;
mod network;
mod train;

use std::collections::BTreeMap;

use candle_core::{D, DType, Device, Result as CandleResult, Tensor};
use candle_nn::Init;
use cccm_sched::Streams;
use cccm_weights::{ParameterSpec, Parameters};
use rand::Rng;

use crate::{Error, Result};
use network::{FEATURES, Network};

pub use augment::Augmentation;
pub use config::ClassifierConfig;
pub use train::{ClassifierTraining, LabelledBatch};

/// Images that go through the network at once.
const BATCH: usize = 64;

/// A network that names the labels of images, one head per label kind.
///
/// 3×3 convolutions halve the image down to 4×4, each followed by group norm and SiLU; a linear layer makes 128
/// features of the last map, and every label is read from those. The features are also what distances between sets of
/// images are computed on.
#[derive(Clone, Debug)]
pub struct Classifier {
    config: ClassifierConfig,
    parameters: Parameters,
    /// Over the storage of `parameters`, without a graph.
    network: Network,
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
        let specs = specs(config)?;
        let initial = |name: &str, spec: &ParameterSpec| initial(name, spec, streams);
        Self::over(config.clone(), Parameters::init(&specs, initial, &Device::Cpu)?)
    }

    /// The classifier that has these parameters.
    fn over(config: ClassifierConfig, parameters: Parameters) -> Result<Self> {
        let network = Network::new(&config, parameters.detached())?;
        Ok(Self { config, parameters, network })
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
        let (mut features, mut labels) = (Vec::new(), vec![Vec::with_capacity(n); self.config.labels.len()]);
        for start in (0..n).step_by(BATCH) {
            let part = images.narrow(0, start, BATCH.min(n - start))?;
            let part_features = self.network.features(&part)?;
            for (all, logits) in labels.iter_mut().zip(self.network.logits(&part_features)?) {
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
}

/// Every parameter of a classifier, by name.
fn specs(config: &ClassifierConfig) -> Result<BTreeMap<String, ParameterSpec>> {
    Ok(Parameters::specs(|vb| Network::new(config, vb))?)
}

/// The initial value of a parameter, drawn from the stream of its name.
fn initial(name: &str, spec: &ParameterSpec, streams: &Streams) -> CandleResult<Tensor> {
    let shape = spec.shape.as_slice();
    match spec.init {
        Init::Const(value) => Tensor::full(value as f32, shape, &Device::Cpu),
        Init::Uniform { lo, up } => {
            let mut rng = streams.stream(name, 0, 0);
            let range = lo as f32..up as f32;
            let values: Vec<f32> =
                (0..shape.iter().product()).map(|_| rng.random_range(range.clone())).collect();
            Tensor::from_vec(values, shape, &Device::Cpu)
        }
        _ => candle_core::bail!("parameter `{name}` has no initial distribution"),
    }
}
