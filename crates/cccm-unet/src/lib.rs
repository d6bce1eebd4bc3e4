#![doc = include_str!("../README.md")]

mod config;
mod convert;
mod embed;
mod error;
mod flops;
mod hints;
mod infer;
mod initial;
mod layers;
mod model;
mod model_files;
mod names;
mod resblock;
mod unet;

pub use cccm_weights::{ParameterSpec, Parameters};
pub use config::{Arch, Tables, UNetConfig};
pub use convert::{convert, load_checkpoint, prepare_conversion};
pub use error::{Error, Result};
pub use hints::Hints;
pub use initial::GuidanceInit;
pub use model::{ModelConfig, Role};
pub use model_files::{ModelFiles, PendingModel};
pub use unet::UNet;
