//! `state.json` of a checkpoint.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::plan::TrainConfig;

/// Where a run stands: `state.json`. Learning rate, `c_t`, data order and all randomness are functions of the step, the
/// settings and the seed, which is in the run's configuration; no more is needed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainState {
    /// Optimizer steps done, skipped ones included.
    pub step: u64,
    /// Epoch of the next step, counted from 1.
    pub epoch: u64,
    /// Place of the next batch within its epoch, counted from 0.
    pub next_batch: u64,
    /// Updates of the weights: `step` without the steps that were skipped.
    pub updates: u64,
    /// Steps skipped just now, one after the other.
    pub skipped_in_a_row: u64,
    /// Settings of the training, its schedules among them.
    pub train: TrainConfig,
    /// SHA-256 in hex of what the run was made from, by name (`data`, `teacher`, `settings`, …): going on with anything else
    /// is another run.
    pub digests: BTreeMap<String, String>,
}
