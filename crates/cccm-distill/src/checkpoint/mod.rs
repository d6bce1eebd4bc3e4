//! Checkpoints: all that a run needs to go on, in a directory that exists whole or not at all.

mod disk;
mod folder;
mod writer;

use std::collections::BTreeMap;

use candle_core::safetensors::Load;
use candle_core::{Device, Tensor, Var};
use cccm_optim::Moments;
use safetensors::SafeTensors;
use sha2::{Digest, Sha256};

use crate::train_state::TrainState;
use crate::trainer::{Snapshot, Trainer};
use crate::{Error, Result};

pub use folder::CheckpointFolder;
pub use writer::CheckpointWriter;

/// Name of the file that holds a [`TrainState`].
const STATE: &str = "state.json";
/// What AdamW remembers of parameter `NAME`: its mean gradient is the tensor `m.NAME`, the mean square `v.NAME`.
const MOMENTS: [&str; 2] = ["m.", "v."];

/// The files of one checkpoint, as a copy that later steps do not change: it may be written from another thread.
///
/// | file | holds |
/// | --- | --- |
/// | `student.safetensors`, or as [`Objective::trained_name`](crate::Objective::trained_name) says | weights in training |
/// | `target.safetensors` and so on, by [`MovingAverage::name`](crate::MovingAverage::name) | their moving averages |
/// | `optimizer.safetensors` | AdamW's moments, `m.NAME` and `v.NAME` |
/// | `state.json` | [`TrainState`] |
/// | `SHA256SUMS` | digests of all others, those of [`Self::with_file`] included |
///
/// Tensors are sorted by name and carry no metadata, so that equal weights are equal bytes.
#[derive(Clone, Debug, PartialEq)]
pub struct Checkpoint {
    state: TrainState,
    files: BTreeMap<String, Vec<u8>>,
}

impl Checkpoint {
    /// A checkpoint of the trainer as it stands.
    /// - `digests`: see [`TrainState::digests`]
    ///
    /// # Errors
    /// [`Error::Serialize`] or [`Error::Candle`] when a tensor cannot be copied.
    pub fn of(trainer: &Trainer<'_>, digests: BTreeMap<String, String>) -> Result<Self> {
        let state = trainer.state(digests);
        let bytes = serde_json::to_vec_pretty(&state).map_err(|cause| not_serialized(STATE, cause))?;
        let [m, v] = MOMENTS;
        let mut moments = BTreeMap::new();
        for (name, state) in trainer.optimizer().state()? {
            moments.insert(format!("{m}{name}"), state.m);
            moments.insert(format!("{v}{name}"), state.v);
        }
        let checkpoint = Self { state, files: BTreeMap::new() }
            .with_tensors(trainer.objective().trained_name(), detached(trainer.trained()))?
            .with_tensors("optimizer", moments)?
            .with_file(STATE, bytes)?;
        trainer.averages().iter().try_fold(checkpoint, |checkpoint, average| {
            checkpoint.with_tensors(average.name, detached(&average.vars))
        })
    }

    /// The same checkpoint with one more file, such as `config.json`.
    /// - `name`: ASCII letters, digits, `-`, `_` and `.`, not first; no name that is already there
    ///
    /// # Errors
    /// [`Error::CheckpointFile`] for a name that will not do.
    pub fn with_file(mut self, name: &str, bytes: Vec<u8>) -> Result<Self> {
        let bad = |reason| Error::CheckpointFile { name: name.to_owned(), reason };
        if !disk::is_plain(name) {
            return Err(bad("names are ASCII letters, digits, `-`, `_` and `.`, which is not first"));
        }
        if name == Self::SUMS || self.files.contains_key(name) {
            return Err(bad("there is one of this name already"));
        }
        self.files.insert(name.to_owned(), bytes);
        Ok(self)
    }

    fn with_tensors(self, stem: &str, tensors: BTreeMap<String, Tensor>) -> Result<Self> {
        let name = format!("{stem}.safetensors");
        // candle's own conversion to bytes panics when a device fails, so move the tensors to the CPU first.
        let on_cpu = tensors.into_iter().map(|(name, tensor)| Ok((name, tensor.to_device(&Device::Cpu)?)));
        let on_cpu = on_cpu.collect::<Result<Vec<_>>>()?;
        let bytes = safetensors::serialize(on_cpu, None).map_err(|cause| not_serialized(&name, cause))?;
        self.with_file(&name, bytes)
    }

    /// A digest as whole numbers, which are equal for two checkpoints only if the checkpoints are. The
    /// numbers are small enough that a sum of 256 of them is exact.
    pub(crate) fn fingerprint(&self) -> [f32; 8] {
        let mut digest = Sha256::new();
        for (name, bytes) in &self.files {
            digest.update(name.as_bytes());
            digest.update(bytes);
        }
        let digest = digest.finalize();
        let (pairs, _) = digest.as_chunks();
        std::array::from_fn(|place| f32::from(u16::from_le_bytes(pairs[place])))
    }

    /// Where the run stood.
    pub fn state(&self) -> &TrainState {
        &self.state
    }

    /// The files' contents by name, `SHA256SUMS` aside.
    pub fn files(&self) -> &BTreeMap<String, Vec<u8>> {
        &self.files
    }

    /// Puts a trainer into this state. If it has the run's settings, networks and streams, and is given the
    /// batches from [`Trainer::position`] on, the steps that follow are, bit for bit, those of an
    /// uninterrupted run.
    ///
    /// # Errors
    /// [`Error::CheckpointContent`] when a file is missing or does not hold the tensors of this trainer's networks,
    /// [`Error::Optim`] when moments are not theirs; the trainer is then as it was.
    pub fn restore(&self, trainer: &mut Trainer<'_>) -> Result<()> {
        let trained = self.tensors(trainer.objective().trained_name())?;
        let averages = trainer.averages().iter().map(|average| self.tensors(average.name));
        let averages = averages.collect::<Result<_>>()?;
        let moments = self.moments()?;
        trainer.restore(Snapshot { state: &self.state, trained, averages, moments })
    }

    fn moments(&self) -> Result<BTreeMap<String, Moments>> {
        let mut tensors = self.tensors("optimizer")?;
        let [m, v] = MOMENTS;
        let names: Vec<_> =
            tensors.keys().filter_map(|name| name.strip_prefix(m).map(str::to_owned)).collect();
        let mut take = |prefix: &str, name: &str| {
            let name = format!("{prefix}{name}");
            tensors.remove(&name).ok_or_else(|| content("optimizer", format!("it has no tensor `{name}`")))
        };
        names
            .into_iter()
            .map(|name| Ok((name.clone(), Moments { m: take(m, &name)?, v: take(v, &name)? })))
            .collect()
    }

    fn tensors(&self, stem: &str) -> Result<BTreeMap<String, Tensor>> {
        let bytes = self.files.get(&format!("{stem}.safetensors"));
        let bytes = bytes.ok_or_else(|| content(stem, "it is missing".to_owned()))?;
        let file = SafeTensors::deserialize(bytes).map_err(|cause| content(stem, cause.to_string()))?;
        file.iter().map(|(name, view)| Ok((name.to_owned(), view.load(&Device::Cpu)?))).collect()
    }
}

fn content(stem: &str, reason: String) -> Error {
    Error::CheckpointContent { file: format!("{stem}.safetensors"), reason }
}

fn detached(vars: &BTreeMap<String, Var>) -> BTreeMap<String, Tensor> {
    vars.iter().map(|(name, var)| (name.clone(), var.as_detached_tensor())).collect()
}

fn not_serialized(name: &str, cause: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::Serialize { name: name.to_owned(), source: Box::new(cause) }
}
