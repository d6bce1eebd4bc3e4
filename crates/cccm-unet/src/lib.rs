#![doc = include_str!("../README.md")]

mod config;
mod convert;
mod embed;
mod error;
mod flops;
mod hints;
mod infer;
mod inspect;
mod layers;
mod model;
mod model_files;
mod names;
mod parameters;
#[cfg(feature = "hub")]
pub mod pretrained;
mod pth;
mod raw;
mod resblock;
mod safetensors_file;
mod state_dict;
mod unet;
mod weights;

pub use config::{Arch, Tables, UNetConfig};
pub use convert::{convert, load_checkpoint, prepare_conversion};
pub use error::{Error, Result};
pub use hints::Hints;
pub use inspect::{InspectedEntry, Inspection, inspect};
pub use model::{ModelConfig, Role};
pub use model_files::{ModelFiles, PendingModel};
pub use parameters::{GuidanceInit, ParameterSpec, Parameters};
pub use pth::{Part, PthProblem};
pub use unet::UNet;
pub use weights::{load_weights, parse_weights, save_weights};
