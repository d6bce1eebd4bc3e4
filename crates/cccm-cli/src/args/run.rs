//! Where and on what to run.

use std::path::PathBuf;

use candle_core::DType;
use serde::{Deserialize, Serialize};

use super::Dtype;

/// Where and on what to run.
#[derive(Clone, Debug, Default, clap::Args, Serialize, Deserialize)]
#[command(next_help_heading = "Run")]
#[serde(default)]
pub(crate) struct RunArgs {
    /// Directory of the run [default: runs/YYYYMMDD-HHMMSS-METHOD]
    #[arg(long, value_name = "DIR")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) save_path: Option<PathBuf>,

    /// Directory of the TensorBoard event files [default: the run's own]
    #[arg(long, value_name = "DIR")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) logging_dir: Option<PathBuf>,

    /// Seed of everything random
    #[arg(long, value_name = "N")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) seed: Option<u64>,

    /// CPU threads [default: all cores]
    #[arg(long, value_name = "N")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) threads: Option<usize>,

    /// Device to compute on: cpu, cuda, cuda:1 for the second GPU, or auto, which picks the best there is
    #[arg(long, value_name = "DEVICE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) device: Option<String>,

    /// Numbers to compute with: f32, or bf16, which keeps features and the weights of convolutions in 16 bits: half the
    /// memory, meant for GPUs and slower on a CPU. Weights, averages, losses and sums stay f32 [default: f32]
    #[arg(long, value_name = "NAME")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) dtype: Option<Dtype>,

    /// GPUs that train together, by number, as in 0,1: a process for each, --train-batch-size images for each. `cpu,cpu`
    /// tries the same without GPUs
    #[arg(long, value_name = "LIST", value_delimiter = ',', action = clap::ArgAction::Set, conflicts_with = "device")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) devices: Option<Vec<String>>,
}

impl RunArgs {
    /// What networks compute with.
    pub(crate) fn dtype(&self) -> DType {
        self.dtype.unwrap_or_default().into()
    }
}
