#![doc = include_str!("../README.md")]

mod error;
mod gpu;
mod nccl;
mod process;

pub use error::{Error, Result};
pub use gpu::{
    CUDA_IN_BUILD, F32Products, FoundLibrary, Gpu, GpuDriver, GpuLibrary, MIN_COMPUTE_CAPABILITY, gpu_driver,
    gpu_free_bytes, gpu_libraries, gpus, open_gpu,
};
pub use nccl::{GpuGroup, GpuGroupId};
pub use process::{prepare, use_threads};
