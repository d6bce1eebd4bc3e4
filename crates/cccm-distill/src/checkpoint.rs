//! Checkpoints: all that a run needs to go on, in a directory that exists whole or not at all.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor, Var};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{Error, Result, Trainer};

/// Digests of all other files, in the form that `sha256sum --check` reads.
const SUMS: &str = "SHA256SUMS";

/// Where a run stands: `state.json`. The seed is in the run's configuration; of randomness no more is needed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainState {
    /// Optimizer steps done.
    pub step: u64,
    /// Epoch of the next step, counted from 1.
    pub epoch: u64,
    /// Place of the next batch within its epoch, counted from 0.
    pub next_batch: u64,
    /// SHA-256 in hex of what the run was made from, by name (`data`, `teacher`, …): going on with anything else is
    /// another run.
    pub digests: BTreeMap<String, String>,
}

/// The files of one checkpoint, as a copy that later steps do not change: it may be written from another thread.
///
/// | file | holds |
/// | --- | --- |
/// | `student.safetensors`, or as [`Objective::trained_name`](crate::Objective::trained_name) says | weights in training |
/// | `target.safetensors` | their moving average |
/// | `optimizer.safetensors` | AdamW's moments, `m.NAME` and `v.NAME` |
/// | `state.json` | [`TrainState`] |
/// | `SHA256SUMS` | digests of all others, those of [`Self::with_file`] included |
///
/// Tensors are sorted by name and carry no metadata, so that equal weights are equal bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    files: BTreeMap<String, Vec<u8>>,
}

impl Checkpoint {
    /// A checkpoint of the trainer as it stands.
    /// - `digests`: see [`TrainState::digests`]
    ///
    /// # Errors
    /// [`Error::Serialize`] or [`Error::Candle`] when a tensor cannot be copied.
    pub fn of(trainer: &Trainer<'_>, digests: BTreeMap<String, String>) -> Result<Self> {
        let (step, per_epoch) = (trainer.steps_done(), trainer.steps_per_epoch());
        let state = TrainState { step, epoch: step / per_epoch + 1, next_batch: step % per_epoch, digests };
        let mut moments = BTreeMap::new();
        for (name, state) in trainer.optimizer().state()? {
            moments.insert(format!("m.{name}"), state.m);
            moments.insert(format!("v.{name}"), state.v);
        }
        Self { files: BTreeMap::new() }
            .with_tensors(trainer.objective().trained_name(), detached(trainer.trained()))?
            .with_tensors("target", detached(trainer.target()))?
            .with_tensors("optimizer", moments)?
            .with_state(&state)
    }

    /// The same checkpoint with one more file, such as `config.json`.
    /// - `name`: ASCII letters, digits, `-`, `_` and `.`, not first; no name that is already there
    ///
    /// # Errors
    /// [`Error::CheckpointFile`] for a name that will not do.
    pub fn with_file(mut self, name: &str, bytes: Vec<u8>) -> Result<Self> {
        let bad = |reason| Error::CheckpointFile { name: name.to_owned(), reason };
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if name.is_empty() || name.starts_with('.') || !name.chars().all(plain) {
            return Err(bad("names are ASCII letters, digits, `-`, `_` and `.`, which is not first"));
        }
        if name == SUMS || self.files.contains_key(name) {
            return Err(bad("there is one of this name already"));
        }
        self.files.insert(name.to_owned(), bytes);
        Ok(self)
    }

    fn with_tensors(self, stem: &str, tensors: BTreeMap<String, Tensor>) -> Result<Self> {
        let name = format!("{stem}.safetensors");
        // candle's own conversion to bytes panics when a device fails: come with tensors that are on the CPU.
        let on_cpu = tensors.into_iter().map(|(name, tensor)| Ok((name, tensor.to_device(&Device::Cpu)?)));
        let on_cpu = on_cpu.collect::<Result<Vec<_>>>()?;
        let bytes = safetensors::serialize(on_cpu, None).map_err(|cause| not_serialized(&name, cause))?;
        self.with_file(&name, bytes)
    }

    fn with_state(self, state: &TrainState) -> Result<Self> {
        let name = "state.json";
        let bytes = serde_json::to_vec_pretty(state).map_err(|cause| not_serialized(name, cause))?;
        self.with_file(name, bytes)
    }

    /// The files' contents by name, `SHA256SUMS` aside.
    pub fn files(&self) -> &BTreeMap<String, Vec<u8>> {
        &self.files
    }

    /// Writes the checkpoint as the directory `dir`, creating the ones above it.
    ///
    /// The files are written into a hidden directory beside `dir` and synced to the disk; then it is renamed. So
    /// whoever finds `dir` finds all of it, and a failed or killed write leaves what was there before. A checkpoint of
    /// the same name is replaced.
    ///
    /// # Errors
    /// [`Error::Io`] when a file cannot be written, for example as the disk is full.
    pub fn write(&self, dir: &Path) -> Result<()> {
        let partial = beside(dir, "partial")?;
        let written = self.write_files(&partial).and_then(|()| put_in_place(&partial, dir));
        if written.is_err() {
            // Best effort: the error that counts is the first.
            let _ = fs::remove_dir_all(&partial);
        } else {
            tracing::info!(path = %dir.display(), "checkpoint written");
        }
        written
    }

    fn write_files(&self, dir: &Path) -> Result<()> {
        // A run that was killed in here left its directory behind.
        remove_dir(dir)?;
        fs::create_dir_all(dir).map_err(io_error("create", dir))?;
        let mut sums = Vec::new();
        for (name, bytes) in &self.files {
            write_synced(&dir.join(name), bytes)?;
            sums.push(format!("{}  {name}\n", sha256(bytes)));
        }
        write_synced(&dir.join(SUMS), sums.concat().as_bytes())?;
        sync_dir(dir)
    }
}

fn detached(vars: &BTreeMap<String, Var>) -> BTreeMap<String, Tensor> {
    vars.iter().map(|(name, var)| (name.clone(), var.as_detached_tensor())).collect()
}

fn not_serialized(name: &str, cause: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::Serialize { name: name.to_owned(), source: Box::new(cause) }
}

fn sha256(bytes: &[u8]) -> String {
    let hex = |digit: u8| char::from(b"0123456789abcdef"[usize::from(digit)]);
    Sha256::digest(bytes).iter().flat_map(|byte| [hex(byte >> 4), hex(byte & 15)]).collect()
}

/// A hidden name next to `dir`, so that renaming one to the other stays on one file system.
fn beside(dir: &Path, what: &str) -> Result<PathBuf> {
    let Some(name) = dir.file_name() else {
        let source = io::Error::new(io::ErrorKind::InvalidInput, "the path does not end in a name");
        return Err(io_error("write a checkpoint to", dir)(source));
    };
    Ok(dir.with_file_name(format!(".{}.{what}", name.to_string_lossy())))
}

fn put_in_place(partial: &Path, dir: &Path) -> Result<()> {
    let replaced = beside(dir, "replaced")?;
    remove_dir(&replaced)?;
    if dir.exists() {
        // A directory cannot be renamed over one that holds files.
        fs::rename(dir, &replaced).map_err(io_error("rename", dir))?;
    }
    if let Err(error) = fs::rename(partial, dir) {
        // Best effort: the error that counts is the first.
        let _ = fs::rename(&replaced, dir);
        return Err(io_error("rename", partial)(error));
    }
    let parent = dir.parent().filter(|parent| !parent.as_os_str().is_empty());
    sync_dir(parent.unwrap_or(Path::new(".")))?;
    remove_dir(&replaced)
}

fn write_synced(path: &Path, bytes: &[u8]) -> Result<()> {
    let write = || {
        let mut file = File::create(path)?;
        file.write_all(bytes)?;
        file.sync_all()
    };
    write().map_err(io_error("write", path))
}

/// Makes the names within `dir` durable; only Unix lets directories be opened for it.
fn sync_dir(dir: &Path) -> Result<()> {
    if cfg!(unix) {
        File::open(dir).and_then(|dir| dir.sync_all()).map_err(io_error("sync", dir))?;
    }
    Ok(())
}

fn remove_dir(dir: &Path) -> Result<()> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(io_error("remove", dir)(error)),
        _ => Ok(()),
    }
}

fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    move |source| Error::Io { action, path: path.to_owned(), source }
}
