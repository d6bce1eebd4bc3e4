//! Helpers of the workspace's parity tests: inputs and weights that PyTorch draws too
//! ([`hashed`], [`fill`]), the results PyTorch got from them ([`Fixture`]), and the comparison
//! ([`assert_close`]).
//!
//! [`fuzz_texts`] looks for texts that a reader does not stand. [`hub`] is a Hugging Face Hub to download from without a network.
//!
//! `fixtures/oracle.py` wrote the fixtures; its header says how to run it again.
//!
//! ```
//! use cccm_tests::{Fixture, Tolerance, assert_close, hashed};
//! # fn main() -> anyhow::Result<()> {
//! let fx = Fixture::load("schedules")?;
//! let want: Vec<f32> = serde_json::from_value(fx.json()["hashed_example_(3,)"].clone())?;
//! let want = candle_core::Tensor::new(want, &candle_core::Device::Cpu)?;
//! assert_close(&hashed("example", 3, 1.0, 0.0)?, &want, Tolerance::EXACT)
//! # }
//! ```

mod close;
mod device;
mod fixture;
mod folder;
mod hash;
pub mod hub;
mod mutate;

pub use close::{Tolerance, assert_close, assert_close_scalar};
pub use device::devices;
pub use fixture::{Fixture, fixtures};
pub use folder::copy_folder;
pub use hash::{fill, hashed, hashed_ints};
pub use mutate::{Mutator, TEXT_PIECES, fuzz_texts};
