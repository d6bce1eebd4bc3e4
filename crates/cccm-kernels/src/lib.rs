#![doc = include_str!("../README.md")]

mod buffer;
mod gemm;
mod isa;
mod scratch;
mod storage;

mod conv2d;
mod group_norm_silu;
mod upsample;

#[cfg(test)]
mod testing;

pub use conv2d::{Conv2dConfig, conv2d};
pub use group_norm_silu::group_norm_silu;
pub use upsample::upsample_nearest_2x;
