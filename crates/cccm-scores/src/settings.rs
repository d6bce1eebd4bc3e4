//! What decides which pictures are sampled.

use candle_core::Device;
use cccm_run::Dtype;
use cccm_sched::GuidanceConfig;
use serde::{Deserialize, Serialize};

/// What decides which pictures are drawn, and how long that takes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SampleSettings {
    /// Digest of the network.
    pub model: String,
    /// Steps per picture: evaluations of a student, guided solver steps of a teacher.
    pub steps: usize,
    /// How strongly the labels were followed.
    pub guidance_scale: f64,
    /// Guidance of a teacher. Absent in older files: their pictures were guided as published.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guidance: Option<GuidanceConfig>,
    /// Of the noise.
    pub seed: u64,
    /// Pictures of each combination.
    pub samples_per_pair: usize,
    /// Absent in files if it is `f32`, which was once the only dtype.
    #[serde(default, skip_serializing_if = "Dtype::is_default")]
    pub dtype: Dtype,
    /// `cpu` or `cuda`; absent in older files, whose device was the CPU.
    #[serde(default = "cpu")]
    pub device: String,
    /// Of the CPU.
    pub threads: usize,
}

impl SampleSettings {
    /// Such as `2 threads`.
    pub fn machine(&self) -> String {
        let plural = if self.threads == 1 { "" } else { "s" };
        if self.device == CPU { format!("{} thread{plural}", self.threads) } else { self.device.clone() }
    }
}

const CPU: &str = "cpu";

/// A device as settings name it.
pub fn device_name(device: &Device) -> String {
    if device.is_cpu() { CPU } else { "cuda" }.to_owned()
}

fn cpu() -> String {
    CPU.to_owned()
}
