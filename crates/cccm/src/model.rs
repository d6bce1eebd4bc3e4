//! A model: opened wherever it lies, and sampled.

use std::cell::Cell;
use std::ops::ControlFlow;

use candle_core::{DType, Device};
use cccm_run::{GuidanceSettings, digest_of_model};
use cccm_sample::BatchSampler;
use cccm_sched::{LabelKind, Streams};
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

/// What to sample. Label kinds that nothing is said of take all their values.
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
    /// [`Error::UnknownKind`], [`Error::UnknownLabel`].
    pub fn combinations(&self, kinds: &[LabelKind]) -> Result<Vec<Vec<u32>>> {
        let mut wanted: Vec<Vec<u32>> =
            kinds.iter().map(|kind| (0..kind.names.len() as u32).collect()).collect();
        for (kind, name) in &self.labels {
            let place =
                kinds.iter().position(|known| known.kind == *kind).ok_or_else(|| Error::UnknownKind {
                    got: kind.clone(),
                    known: kinds.iter().map(|known| known.kind.clone()).collect(),
                })?;
            wanted[place] = vec![index_of(&kinds[place], name)?];
        }
        let all = wanted.iter().fold(vec![Vec::new()], |combinations: Vec<Vec<u32>>, labels| {
            let longer = |combination: &Vec<u32>| {
                let combination = combination.clone();
                labels.iter().map(move |label| [combination.as_slice(), &[*label]].concat())
            };
            combinations.iter().flat_map(longer).collect()
        });
        Ok(all)
    }
}

/// Thousandths of likeness below which two names have nothing in common.
const LEAST_LIKENESS: u32 = 500;

fn index_of(kind: &LabelKind, name: &str) -> Result<u32> {
    if let Some(index) = kind.names.iter().position(|known| known == name) {
        return Ok(index as u32);
    }
    let likeness = |known: &&String| {
        (strsim::normalized_damerau_levenshtein(&name.to_lowercase(), &known.to_lowercase()) * 1000.0) as u32
    };
    let nearest = kind.names.iter().max_by_key(likeness).filter(|known| likeness(known) >= LEAST_LIKENESS);
    Err(Error::UnknownLabel {
        kind: kind.kind.clone(),
        got: name.to_owned(),
        nearest: nearest.cloned(),
        known: kind.names.clone(),
    })
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
    pub fn labels(&self) -> &[LabelKind] {
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
    /// [`Error::UnknownKind`], [`Error::UnknownLabel`], and for what the model cannot be sampled with.
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
        let combinations = request.combinations(self.labels())?;
        let each = |labels: Vec<u32>| std::iter::repeat_n(labels, request.count);
        let labels: Vec<Vec<u32>> = combinations.into_iter().flat_map(each).collect();
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
        Images::new(&images, labels, self.labels(), request.count)
    }
}
