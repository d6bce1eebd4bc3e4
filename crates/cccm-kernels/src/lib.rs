#![doc = include_str!("../README.md")]

mod backward;
mod buffer;
mod dtype;
mod gemm;
#[cfg(any(feature = "cuda", test))]
mod gpu;
mod isa;
mod layout;
mod scratch;
mod storage;

#[cfg(feature = "cuda")]
mod cuda;

mod add;
mod cat_channels;
mod conv2d;
mod dropout;
mod group_norm_silu;
mod recompute;
#[cfg(any(feature = "cuda", test))]
mod update;
mod upsample;

#[cfg(test)]
mod testing;

pub use add::add;
pub use backward::backward;
pub use cat_channels::cat_channels;
pub use conv2d::{Conv2dConfig, conv2d};
pub use dropout::dropout;
pub use group_norm_silu::{GroupNormConfig, group_norm_silu};
pub use isa::{instruction_set, portably};
pub use layout::ImageLayout;
pub use recompute::recompute;
#[cfg(any(feature = "cuda", test))]
pub use update::UpdateRule;
#[cfg(feature = "cuda")]
pub use update::{Updated, can_update_at_once, squared_norm_at_once, update_at_once};
pub use upsample::upsample_nearest_2x;
