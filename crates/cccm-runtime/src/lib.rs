#![doc = include_str!("../README.md")]

mod choice;
mod error;
mod gpu;
mod nccl;
mod process;

pub use choice::{DeviceChoice, best_gpu};
pub use error::{Error, Result};
pub use gpu::{
    CUDA_IN_BUILD, F32Products, FoundLibrary, Gpu, GpuDriver, GpuLibrary, MIN_COMPUTE_CAPABILITY, gpu_driver,
    gpu_free_bytes, gpu_libraries, gpu_peak_bytes, gpus, open_gpu,
};
pub use nccl::{GpuGroup, GpuGroupId};
pub use process::{prepare, use_threads};
