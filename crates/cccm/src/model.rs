//! A model: opened wherever it lies, and sampled.

use std::cell::Cell;
use std::ops::ControlFlow;

use candle_core::{DType, Device};
use cccm_labels::{Combination, Vocabulary};
use cccm_run::{GuidanceSettings, digest_of_model};
use cccm_sample::BatchSampler;
use cccm_sched::Streams;
use cccm_unet::{ModelConfig, Parameters, UNet};

use crate::error::{Error, Result};
use crate::images::Images;
use crate::matrix::check_fits;
use crate::places::load;
use crate::sampling::{ChosenSampler, SamplerChoice};

/// A teacher or a student, ready to be sampled.
pub struct Model {
    config: ModelConfig,
    parameters: Parameters,
    network: UNet,
    device: Device,
}

/// What to sample. A label kind without a chosen label takes all its labels.
#[derive(Clone, Debug)]
pub struct SampleRequest {
    labels: Vec<(String, String)>,
    choice: SamplerChoice,
    seed: u64,
    count: usize,
}

impl Default for SampleRequest {
    fn default() -> Self {
        Self { labels: Vec::new(), choice: SamplerChoice::default(), seed: 0, count: 1 }
    }
}

impl SampleRequest {
    /// One image of every combination, in the model's usual number of steps and under its usual guidance, from seed 0.
    pub fn new() -> Self {
        Self::default()
    }

    /// Samples this label of a kind alone.
    /// - `kind`: as the model calls it, such as `attribute`
    /// - `name`: the label, such as `red`
    #[must_use]
    pub fn label(mut self, kind: impl Into<String>, name: impl Into<String>) -> Self {
        self.labels.push((kind.into(), name.into()));
        self
    }

    /// How many steps: evaluations of a student, guided solver steps of a teacher.
    #[must_use]
    pub fn steps(mut self, steps: usize) -> Self {
        self.choice.steps = Some(steps);
        self
    }

    /// How strongly to follow the labels; 1 is no guidance.
    #[must_use]
    pub fn guidance_scale(mut self, scale: f64) -> Self {
        self.choice.guidance_scale = Some(scale);
        self
    }

    /// How a teacher is guided beyond its scale.
    #[must_use]
    pub fn guidance(mut self, guidance: GuidanceSettings) -> Self {
        self.choice.guidance = guidance;
        self
    }

    /// The seed of the noise: equal requests give equal images.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Images of each combination, at least 1.
    #[must_use]
    pub fn count(mut self, count: usize) -> Self {
        self.count = count.max(1);
        self
    }

    /// All combinations of the labels that are asked for, in the order of their indices: the last kind changes first.
    ///
    /// # Errors
    /// [`Error::Labels`] for a kind or a label that the model does not have.
    pub fn combinations(&self, labels: &Vocabulary) -> Result<Vec<Combination>> {
        Ok(labels.narrowed(&self.chosen(labels)?).1)
    }

    /// Per kind the one label that is asked for, if one is.
    fn chosen(&self, labels: &Vocabulary) -> Result<Vec<Option<u32>>> {
        let mut chosen = vec![None; labels.kinds().len()];
        for (kind, name) in &self.labels {
            let (place, kind) = labels.kind(kind)?;
            chosen[place] = Some(kind.index_of(name)?);
        }
        Ok(chosen)
    }
}

impl Model {
    /// Opens a model to be sampled on the CPU.
    /// - `place`: a run such as `runs/latest`, a model directory, a checkpoint, a file of weights with its config, a file of the
    ///   Hugging Face Hub as `hf://OWNER/NAME/FILE` (feature `hub`), `builtin:teacher` or `builtin:student`
    ///
    /// # Errors
    /// [`Error::Open`], which says what was looked for where.
    pub fn open(place: &str) -> Result<Self> {
        Self::open_on(place, &Device::Cpu)
    }

    /// Opens a model to be sampled on a device.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_on(place: &str, device: &Device) -> Result<Self> {
        let open = || -> anyhow::Result<Self> {
            let (config, parameters) = load(place, device)?;
            let network = UNet::frozen(&config.unet, config.tables()?, &parameters)?;
            Ok(Self { config, parameters, network, device: device.clone() })
        };
        open().map_err(|error| Error::Open { place: place.to_owned(), source: error.into() })
    }

    /// The same model, computing in another dtype: `f32`, or `bf16`, which is meant for GPUs.
    #[must_use]
    pub fn computing_in(mut self, dtype: DType) -> Self {
        self.network = self.network.computing_in(dtype);
        self
    }

    /// What the model is: its role, network, labels, noise schedule.
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// The kinds of labels, each with its names in the order of their indices.
    pub fn labels(&self) -> &Vocabulary {
        &self.config.labels
    }

    /// The network, a [`Denoiser`](cccm_sched::Denoiser) for any sampler.
    pub fn network(&self) -> &UNet {
        &self.network
    }

    /// Where it computes.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// SHA-256 of config and weights, in hex: which model this is, in whatever kind of file it was.
    ///
    /// # Errors
    /// When the weights cannot be read from the device.
    pub fn digest(&self) -> Result<String> {
        Ok(digest_of_model(&self.config, &self.parameters)?)
    }

    /// The sampler for a choice of steps and guidance.
    ///
    /// # Errors
    /// For what the model cannot be sampled with.
    pub fn sampler(&self, choice: SamplerChoice) -> Result<ChosenSampler> {
        Ok(choice.sampler(&self.config, &self.network)?)
    }

    /// Samples images.
    ///
    /// # Errors
    /// [`Error::Labels`] for a kind or a label that it does not have, and for what the model cannot be sampled with.
    pub fn sample(&self, request: &SampleRequest) -> Result<Images> {
        self.sample_watched(request, &|_, _| ControlFlow::Continue(()))
    }

    /// Samples images, and tells how far it is.
    /// - `watch`: is told after every step how many images are done, and of how many; a break ends the sampling
    ///
    /// # Errors
    /// As [`Self::sample`], and [`Error::Stopped`].
    pub fn sample_watched(
        &self,
        request: &SampleRequest,
        watch: &dyn Fn(usize, usize) -> ControlFlow<()>,
    ) -> Result<Images> {
        let chosen = request.chosen(self.labels())?;
        let (part, combinations) = self.labels().narrowed(&chosen);
        let each = |labels: Combination| std::iter::repeat_n(labels, request.count);
        let labels: Vec<Combination> = combinations.into_iter().flat_map(each).collect();
        check_fits(labels.len(), self.config.image_px)?;
        let ChosenSampler { sampler, .. } = self.sampler(request.choice.clone())?;
        let done = Cell::new(0);
        let batches = BatchSampler {
            sampler: &*sampler,
            network: &self.network,
            streams: Streams::new(request.seed),
            image_px: self.config.image_px,
            device: &self.device,
            stop: &|| watch(done.get(), labels.len()).is_break(),
        };
        let images =
            batches.images(0, &labels, &mut |so_far| done.set(so_far)).map_err(|error| match error {
                cccm_sample::Error::Stopped => Error::Stopped,
                other => Error::Other(other.into()),
            })?;
        Images::new(&images, labels, (self.labels(), part), request.count)
    }
}
