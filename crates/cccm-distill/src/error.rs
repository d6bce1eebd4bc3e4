//! What can go wrong in this crate.

use std::path::PathBuf;

/// Result of this crate's functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of somebody else's code: the source of batches, or a [`Reporter`](crate::Reporter).
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// What can go wrong in this crate. Steps count from 1, as in reports.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A configuration value outside its range.
    #[error("`{field}` is {got}, but must be {want}")]
    InvalidConfig {
        /// Name of the field, as serialized.
        field: &'static str,
        /// The value found.
        got: String,
        /// The values allowed.
        want: &'static str,
    },
    /// An objective gave a term that is not among its [`Objective::terms`](crate::Objective::terms).
    #[error("the objective gave a term `{name}` of its loss, which `Objective::terms` does not name")]
    UnknownTerm {
        /// What it was called.
        name: &'static str,
    },
    /// A word that names none of the choices.
    #[error("no {what} `{got}`; there are {names}")]
    UnknownName {
        /// What is being chosen.
        what: &'static str,
        /// The word as given.
        got: String,
        /// The choices, separated by commas.
        names: &'static str,
    },
    /// A network and its moving average are not alike.
    #[error("the network in training and its moving average do not match at `{name}`: {reason}")]
    Target {
        /// Name of the variable.
        name: String,
        /// How they differ.
        reason: &'static str,
    },
    /// A loss or a gradient became NaN or infinite; no weight was changed by this step.
    #[error(
        "{what} is {value} at step {step}; the weights are those of the step before. A lower learning rate or a longer warmup usually helps"
    )]
    NonFinite {
        /// What it was: `loss` or `gradient norm`.
        what: &'static str,
        /// Its value.
        value: f64,
        /// The step that was stopped.
        step: u64,
    },
    /// Step after step was skipped because its loss or gradient was not finite.
    #[error(
        "loss or gradient was not finite in {in_a_row} steps in a row, up to step {step}, so skipping does not help; \
         remove the checkpoints of step {first} and later, and go on from the one before with a lower learning rate"
    )]
    StillNonFinite {
        /// How many were skipped.
        in_a_row: u64,
        /// The first of them.
        first: u64,
        /// The last of them.
        step: u64,
    },
    /// A batch without samples, or whose parts differ in length.
    #[error("bad batch at step {step}: {reason}")]
    Batch {
        /// The step that needed the batch.
        step: u64,
        /// What is wrong with it.
        reason: String,
    },
    /// The source of batches failed.
    #[error("cannot read the batch of step {step}")]
    Data {
        /// The step that needed the batch.
        step: u64,
        /// Why.
        source: BoxError,
    },
    /// The source of batches came to its end before the run did.
    #[error(
        "the data ended before step {step} of {total_steps}; training needs an endless source of batches"
    )]
    DataEnded {
        /// The step that found no batch.
        step: u64,
        /// Steps of the run.
        total_steps: u64,
    },
    /// Workers that do not start alike.
    #[error(
        "the {workers} workers differ in their weights, their settings or the steps they have done; all must start from the same \
         files"
    )]
    WorkersDiffer {
        /// How many there are.
        workers: usize,
    },
    /// Other workers failed in this step, and said why themselves; no weight was changed by it.
    #[error("{failed} of {workers} workers failed in step {step}; the weights are those of the step before")]
    OtherWorker {
        /// How many failed.
        failed: usize,
        /// How many there are.
        workers: usize,
        /// The step.
        step: u64,
    },
    /// A worker ended in the middle of a run.
    #[error("worker {rank} is gone")]
    WorkerGone {
        /// Its number.
        rank: usize,
        /// What was seen of it.
        source: std::io::Error,
    },
    /// The workers cannot add up; no weight was changed by this step.
    #[error(
        "cannot add up the gradients of all workers in step {step}; the weights are those of the step before"
    )]
    AllReduce {
        /// The step.
        step: u64,
        /// Why.
        source: BoxError,
    },
    /// A [`Reporter`](crate::Reporter) failed.
    #[error("cannot report {what} after step {step}")]
    Report {
        /// What was to be reported.
        what: &'static str,
        /// The last finished step.
        step: u64,
        /// Why.
        source: BoxError,
    },
    /// A file of a checkpoint that cannot be one.
    #[error("`{name}` cannot be a file of a checkpoint: {reason}")]
    CheckpointFile {
        /// The name as given.
        name: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A checkpoint on disk is not as it was written.
    #[error("{} is damaged: {reason}", .path.display())]
    DamagedCheckpoint {
        /// The file, or the directory.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A checkpoint that does not hold what a trainer needs.
    #[error("the checkpoint's {file} does not fit this run: {reason}")]
    CheckpointContent {
        /// Name of the file.
        file: String,
        /// How it differs.
        reason: String,
    },
    /// The thread that writes checkpoints ended before its work was done.
    #[error("the thread that writes checkpoints died; its panic message stands above")]
    WriterDied,
    /// Reading or writing failed.
    #[error("cannot {action} {}", .path.display())]
    Io {
        /// What was tried, as in `write`.
        action: &'static str,
        /// With which file or directory.
        path: PathBuf,
        /// Why it failed.
        source: std::io::Error,
    },
    /// Tensors could not be put into the form of a file.
    #[error("cannot serialize `{name}`")]
    Serialize {
        /// Name of the file.
        name: String,
        /// Why.
        source: BoxError,
    },
    /// A schedule, a grid or a solver step failed.
    #[error(transparent)]
    Sched(#[from] cccm_sched::Error),
    /// The optimizer refused.
    #[error(transparent)]
    Optim(#[from] cccm_optim::Error),
    /// A tensor operation failed, mostly on shapes.
    #[error(transparent)]
    Candle(#[from] candle_core::Error),
}

impl Error {
    /// Whether the cause lies outside this trainer (its data, another worker, the reporter), so that its
    /// weights are still good.
    pub(crate) fn is_from_outside(&self) -> bool {
        matches!(
            self,
            Self::Data { .. }
                | Self::DataEnded { .. }
                | Self::OtherWorker { .. }
                | Self::AllReduce { .. }
                | Self::Report { .. }
        )
    }

    pub(crate) fn invalid(field: &'static str, got: impl std::fmt::Display, want: &'static str) -> Self {
        Self::InvalidConfig { field, got: got.to_string(), want }
    }
}
