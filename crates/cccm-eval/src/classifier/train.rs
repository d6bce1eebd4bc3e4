//! Training a classifier on real images.

use candle_core::{Result as CandleResult, Tensor};
use cccm_kernels::backward;
use cccm_optim::{AdamW, AdamWConfig, LrSchedule, LrScheduleConfig, gradients};
use cccm_sched::Streams;
use serde::{Deserialize, Serialize};

use super::network::Network;
use super::{Augmentation, Classifier, ClassifierConfig};
use crate::{BoxError, Error, Result};

/// Images with their labels.
#[derive(Clone, Debug)]
pub struct LabelledBatch {
    /// `(n, 3, image_px, image_px)`, `f32` in `[-1, 1]`, on the CPU.
    pub images: Tensor,
    /// Per label kind `(n,)`, `u32`.
    pub labels: Vec<Tensor>,
}

/// Settings of a classifier's training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ClassifierTraining {
    /// Optimizer steps, at least 1. Default 1,500: a minute or two of two cores for batches of 64 images of 32×32.
    pub steps: u64,
    /// Learning rate at its peak, from which it falls to zero on a cosine; above 0. Default 1e-3.
    pub lr: f64,
    /// How images are moved, so that labels do not depend on exact positions.
    pub augmentation: Augmentation,
    /// Seed of the initial weights and of the movements. Default 0.
    pub seed: u64,
}

impl Default for ClassifierTraining {
    fn default() -> Self {
        Self { steps: 1500, lr: 1e-3, augmentation: Augmentation::default(), seed: 0 }
    }
}

impl ClassifierTraining {
    /// A classifier trained on real images with AdamW, the sum of the heads' cross-entropies as loss.
    /// - `batches`: endless, such as a loader's; labels lie in the range of `config.labels`
    /// - `progress`: told how many steps are done
    ///
    /// # Errors
    /// [`Error::InvalidConfig`] for a value out of range, [`Error::Data`] when a batch cannot be had or there are too few,
    /// [`Error::Shape`] when one does not fit.
    pub fn run(
        &self,
        config: &ClassifierConfig,
        batches: impl IntoIterator<Item = Result<LabelledBatch, BoxError>>,
        progress: &mut dyn FnMut(u64),
    ) -> Result<Classifier> {
        if self.steps == 0 {
            return Err(Error::invalid("steps", 0, "at least 1"));
        }
        self.augmentation.validate()?;
        let streams = Streams::new(self.seed);
        let classifier = Classifier::init(config, &streams)?;
        let lr_schedule = LrScheduleConfig {
            schedule: LrSchedule::Cosine,
            lr: self.lr,
            warmup_steps: self.steps / 15,
            total_steps: self.steps,
            ..LrScheduleConfig::default()
        };
        lr_schedule.validate()?;
        let mut optimizer = AdamW::new(classifier.parameters.vars().clone(), AdamWConfig::default())?;
        let network = Network::new(config, classifier.parameters.tracked())?;
        let mut batches = batches.into_iter();
        for step in 0..self.steps {
            let ended = || Error::Data(format!("there are no more images after {step} steps").into());
            let batch = batches.next().ok_or_else(ended)?.map_err(Error::Data)?;
            let n = classifier.check_images(&batch.images)?;
            let images = self.augmentation.apply(&batch.images, &streams.draws(step, 0..n as u64))?;
            let loss = loss(&network, &images, &batch.labels)?;
            let store = backward(&loss)?;
            // The first step of a warmup has no learning rate.
            let lr = lr_schedule.lr_at(step + 1);
            optimizer.step(&gradients(classifier.parameters.vars(), &store)?, lr, 1.0)?;
            progress(step + 1);
        }
        Ok(classifier)
    }
}

/// The sum of the heads' cross-entropies.
fn loss(network: &Network, images: &Tensor, labels: &[Tensor]) -> CandleResult<Tensor> {
    let features = network.features(images)?;
    let mut loss = Tensor::zeros((), features.dtype(), features.device())?;
    for (logits, labels) in network.logits(&features)?.iter().zip(labels) {
        loss = (loss + candle_nn::loss::cross_entropy(logits, labels)?)?;
    }
    Ok(loss)
}
