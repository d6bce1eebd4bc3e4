#![doc = include_str!("../README.md")]

mod backward;
mod buffer;
mod gemm;
mod isa;
mod scratch;
mod storage;

mod add;
mod cat_channels;
mod conv2d;
mod group_norm_silu;
mod recompute;
mod upsample;

#[cfg(test)]
mod testing;

pub use add::add;
pub use backward::backward;
pub use cat_channels::cat_channels;
pub use conv2d::{Conv2dConfig, conv2d};
pub use group_norm_silu::group_norm_silu;
pub use isa::{instruction_set, portably};
pub use recompute::recompute;
pub use upsample::upsample_nearest_2x;
