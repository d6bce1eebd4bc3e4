//! The devices that tests run on.

use candle_core::Device;

/// Every device at hand: the CPU, and in a build with feature `cuda` the first GPU, if there is one. A test of an operation
/// loops over them all.
///
/// Products of `f32` matrices are exact on the GPU too.
///
/// # Panics
/// When there is a GPU, and it cannot be opened.
pub fn devices() -> Vec<Device> {
    let mut devices = vec![Device::Cpu];
    devices.extend(gpu());
    devices
}

#[cfg(not(feature = "cuda"))]
fn gpu() -> Option<Device> {
    None
}

// Not through cccm-runtime, which would choose the allocator of every test.
#[cfg(feature = "cuda")]
#[expect(clippy::expect_used, reason = "tests that quietly leave a GPU out are worth nothing")]
fn gpu() -> Option<Device> {
    use candle_core::cuda_backend::cudarc::driver::{DriverError, result, sys::CUresult};
    match result::init() {
        Err(DriverError(CUresult::CUDA_ERROR_NO_DEVICE)) => None,
        other => {
            other.expect("the NVIDIA driver does not start");
            Some(Device::new_cuda_with_stream(0).expect("the first GPU cannot be opened"))
        }
    }
}
