//! NVIDIA GPUs: which there are, and opening one.

#[cfg(not(feature = "cuda"))]
mod absent;
#[cfg(feature = "cuda")]
mod cuda;
mod facts;
#[cfg(feature = "cuda")]
mod libraries;

use candle_core::Device;

use crate::Result;
#[cfg(not(feature = "cuda"))]
use absent as backend;
#[cfg(feature = "cuda")]
use cuda as backend;

pub use facts::{
    CUDA_IN_BUILD, F32Products, FoundLibrary, Gpu, GpuDriver, GpuLibrary, MIN_COMPUTE_CAPABILITY,
};

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

/// The device of a GPU, set up for training: one stream for all threads, freed memory stays with the process,
/// and no events per tensor, which a single stream does not need. A GPU is opened once: the second call gives
/// the same device.
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
