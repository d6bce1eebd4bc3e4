//! Where and on what to run.

use std::path::PathBuf;

use candle_core::DType;

use crate::setting::{Effect, OnCard, Values, named_values, settings};

settings! {
    /// Where and on what to run.
    pub struct RunSettings under "Run" {
        /// Directory of the run [default: runs/YYYYMMDD-HHMMSS-METHOD]
        save_path: PathBuf => { value_names: &["DIR"], effect: Effect::Bookkeeping },

        /// Directory of the TensorBoard event files [default: the run's own]
        logging_dir: PathBuf => { value_names: &["DIR"], effect: Effect::Bookkeeping },

        /// Seed of everything random
        seed: u64 => { value_names: &["N"], on_card: OnCard::Told },

        /// CPU threads [default: all cores]
        threads: usize => { value_names: &["N"] },

        /// Device to compute on: cpu, cuda, cuda:1 for the second GPU, or auto, which picks the best there is
        device: String => { value_names: &["DEVICE"] },

        /// Numbers to compute with: f32, or bf16, which keeps features and the weights of convolutions in 16 bits: half the
        /// memory, meant for GPUs and slower on a CPU. Weights, averages, losses and sums stay f32 [default: f32]
        dtype: Dtype => { value_names: &["NAME"] },

        /// GPUs that train together, by number, as in 0,1: one process per GPU, each with --train-batch-size
        /// images. `cpu,cpu` tries the same without GPUs
        devices: Vec<String> => { value_names: &["LIST"], values: Values::List, excludes: &["device"], on_card: OnCard::Told },
    }
}

named_values! {
    /// Which numbers a network computes with.
    pub enum Dtype ("dtype") {
        /// 32 bits
        F32 = "f32",
        /// Features and the weights of convolutions in 16 bits, all else in 32
        Bf16 = "bf16",
    }
}

impl Dtype {
    /// Whether this is the default.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl From<Dtype> for DType {
    fn from(dtype: Dtype) -> Self {
        match dtype {
            Dtype::F32 => Self::F32,
            Dtype::Bf16 => Self::BF16,
        }
    }
}

impl RunSettings {
    /// What networks compute with.
    pub fn dtype(&self) -> DType {
        self.dtype.unwrap_or_default().into()
    }
}
