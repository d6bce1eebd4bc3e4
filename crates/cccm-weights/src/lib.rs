#![doc = include_str!("../README.md")]

mod parameters;
mod recorder;

mod weights;

mod inspect;
mod state_dict;

mod pth;
mod raw;
mod safetensors_file;

mod error;
mod problems;

pub use error::{Error, Result};
pub use inspect::{InspectedEntry, Inspection, inspect};
pub use parameters::{Parameters, check_shapes};
pub use pth::{Part, PthProblem};
pub use raw::RawTensor;
pub use recorder::ParameterSpec;
pub use safetensors::Dtype;
pub use state_dict::{StateDict, WeightFile};
pub use weights::{load_weights, parse_weights, prepare_raw_weights, prepare_weights, save_weights};
