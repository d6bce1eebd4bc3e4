#![doc = include_str!("../README.md")]

mod batches;
mod ddim;
mod error;
mod few_step;
mod image;
mod noise;
mod observer;
mod sampler;
mod search;

pub use batches::BatchSampler;
pub use ddim::{DdimConfig, DdimSampler};
pub use error::{Error, Result};
pub use few_step::{FewStepConfig, FewStepSampler};
pub use image::{GridConfig, grid, to_unit_range};
pub use noise::{NoiseSource, SeededNoise};
pub use observer::{Observer, SampleStep};
pub use sampler::Sampler;
pub use search::search_timesteps;
