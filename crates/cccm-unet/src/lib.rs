#![doc = include_str!("../README.md")]

mod config;
mod embed;
mod error;
mod layers;
mod model;
mod names;
mod parameters;
#[cfg(feature = "hub")]
pub mod pretrained;
mod resblock;
mod unet;
mod weights;

pub use config::{Arch, Tables, UNetConfig};
pub use error::{Error, Result};
pub use model::{ModelConfig, ModelFiles, Role};
pub use parameters::{GuidanceInit, ParameterSpec, Parameters};
pub use unet::UNet;
pub use weights::{load_weights, save_weights};
