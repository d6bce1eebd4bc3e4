//! NVIDIA GPUs: which there are, and opening one.

#[cfg(not(feature = "cuda"))]
mod absent;
#[cfg(feature = "cuda")]
mod cuda;
#[cfg(feature = "cuda")]
mod libraries;

use std::path::PathBuf;

use candle_core::Device;

use crate::Result;
#[cfg(not(feature = "cuda"))]
use absent as backend;
#[cfg(feature = "cuda")]
use cuda as backend;

/// Whether this program was built with feature `cuda`. Without it there are no GPUs, whatever the machine has.
pub const CUDA_IN_BUILD: bool = cfg!(feature = "cuda");

/// The oldest compute capability that GPUs may have: Ampere's, the first with `bf16`.
pub const MIN_COMPUTE_CAPABILITY: (u32, u32) = (8, 0);

/// How a GPU multiplies matrices of `f32`, and convolves them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum F32Products {
    /// Factors rounded to TF32, 10 bits behind the point, and summed in `f32`, as tensor cores do.
    Tf32,
    /// In `f32`.
    Exact,
}

/// A GPU, not yet opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gpu {
    /// Its number, from 0, as `CUDA_VISIBLE_DEVICES` leaves it.
    pub ordinal: usize,
    /// As its maker calls it.
    pub name: String,
    /// Major and minor.
    pub compute_capability: (u32, u32),
    /// Its memory, whoever uses it.
    pub total_bytes: u64,
    /// How many multiprocessors it has.
    pub multiprocessors: u32,
}

impl Gpu {
    /// Whether our kernels run on it.
    pub fn is_new_enough(&self) -> bool {
        self.compute_capability >= MIN_COMPUTE_CAPABILITY
    }
}

/// The driver of the GPUs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GpuDriver {
    /// The newest version of CUDA that it supports, major and minor.
    pub cuda: (u32, u32),
    /// The version of CUDA that this build needs.
    pub needed: (u32, u32),
    /// Its release, such as `580.65.06`, where the system tells.
    pub release: Option<String>,
}

/// A library that computing on GPUs needs.
#[derive(Clone, Debug)]
pub struct GpuLibrary {
    /// Its name, such as `cuDNN`.
    pub name: &'static str,
    /// What it is for.
    pub purpose: &'static str,
    /// Whether nothing works without it.
    pub required: bool,
    /// What the system's loader found, or why it found nothing.
    pub found: Result<FoundLibrary, String>,
}

/// A library on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundLibrary {
    /// Its version, as it tells.
    pub version: String,
    /// Where it lies, if the system tells.
    pub path: Option<PathBuf>,
}

/// The driver, whether or not it is new enough.
///
/// # Errors
/// [`Error::CpuOnlyBuild`](crate::Error::CpuOnlyBuild), [`Error::NoDriver`](crate::Error::NoDriver),
/// [`Error::Driver`](crate::Error::Driver).
pub fn gpu_driver() -> Result<GpuDriver> {
    backend::driver()
}

/// All GPUs that the driver shows, maybe none, in the order of their numbers. Opens none of them.
///
/// # Errors
/// As [`gpu_driver`], and [`Error::OldDriver`](crate::Error::OldDriver).
pub fn gpus() -> Result<Vec<Gpu>> {
    backend::gpus()
}

/// The device of a GPU, set up for training: one stream, whichever thread uses it, memory that stays with the process once it
/// had it, and no events per tensor, which one stream does not need. Opened once: the second call gives the same device.
///
/// `products` holds for all GPUs of the process, from the last call on.
///
/// ```no_run
/// use candle_core::Tensor;
/// use cccm_runtime::{F32Products, open_gpu};
///
/// let device = open_gpu(0, F32Products::Tf32)?;
/// let x = Tensor::ones((2, 3), candle_core::DType::F32, &device)?;
/// # Ok::<(), cccm_runtime::Error>(())
/// ```
///
/// # Errors
/// As [`gpus`], and [`Error::NoSuchGpu`](crate::Error::NoSuchGpu), [`Error::OldGpu`](crate::Error::OldGpu),
/// [`Error::Candle`](crate::Error::Candle) when cuBLAS or cuRAND is missing.
pub fn open_gpu(ordinal: usize, products: F32Products) -> Result<Device> {
    backend::open(ordinal, products)
}

/// How much of a GPU's memory nobody uses now.
///
/// # Errors
/// [`Error::Candle`](crate::Error::Candle) where `device` is no GPU, [`Error::Driver`](crate::Error::Driver).
pub fn gpu_free_bytes(device: &Device) -> Result<u64> {
    backend::free_bytes(device)
}

/// The most memory of a GPU that this process's tensors have taken at once.
///
/// # Errors
/// As [`gpu_free_bytes`].
pub fn gpu_peak_bytes(device: &Device) -> Result<u64> {
    backend::peak_bytes(device)
}

/// The libraries that this build loads, in the order in which it needs them; none without feature `cuda`, and none looked for
/// on other systems than Linux.
pub fn gpu_libraries() -> Vec<GpuLibrary> {
    backend::libraries()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Error;

    #[test]
    fn a_gpu_that_is_not_there_is_an_error() {
        let error = open_gpu(4711, F32Products::Exact).unwrap_err();
        let in_cpu_build = matches!(error, Error::CpuOnlyBuild);
        assert_eq!(in_cpu_build, !CUDA_IN_BUILD, "{error}");
        let is_clear =
            matches!(error, Error::NoDriver { .. } | Error::OldDriver { .. } | Error::NoSuchGpu { .. });
        assert!(in_cpu_build || is_clear, "{error}");
    }

    #[test]
    fn opened_twice_a_gpu_is_one_device() {
        for gpu in gpus().unwrap_or_default().iter().filter(|gpu| gpu.is_new_enough()) {
            let open = || open_gpu(gpu.ordinal, F32Products::Exact).unwrap();
            let (one, two) = (open(), open());
            assert!(one.same_device(&two));
            let free = gpu_free_bytes(&one).unwrap();
            assert!(0 < free && free <= gpu.total_bytes, "{free} of {}", gpu.total_bytes);
        }
    }

    #[test]
    fn a_cpu_has_no_memory_of_a_gpu() {
        assert!(gpu_free_bytes(&Device::Cpu).is_err());
    }
}
