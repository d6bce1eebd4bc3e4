#![doc = include_str!("../README.md")]

mod adamw;
mod clip;
mod ema;
mod error;
mod gradients;
mod in_place;
mod lr_schedule;
mod matching;
mod range;

pub use adamw::{AdamW, AdamWConfig, Moments};
pub use clip::{clip_factor, global_norm, squared_norm};
pub use ema::Ema;
pub use error::{Error, Result};
pub use gradients::gradients;
pub use lr_schedule::{LrSchedule, LrScheduleConfig};
