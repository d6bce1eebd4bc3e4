//! Where to compute.

use std::num::NonZero;

use anyhow::{Context, Result};
use candle_core::Device;
use cccm_runtime::{CUDA_IN_BUILD, DeviceChoice, F32Products, Gpu, best_gpu, open_gpu};

/// The device a user named; without a name, the best there is. Products of `f32` matrices are rounded to TF32 on GPUs.
///
/// # Errors
/// When the device is not there, or the name is none.
pub fn open(name: Option<&str>) -> Result<Device> {
    match name.map(str::parse).transpose()?.unwrap_or_default() {
        DeviceChoice::Cpu => Ok(Device::Cpu),
        DeviceChoice::Cuda(ordinal) => open_gpu(ordinal, F32Products::Tf32)
            .with_context(|| format!("--device cuda:{ordinal} is not available; --device cpu needs no GPU")),
        DeviceChoice::Auto => match best_gpu() {
            Ok(gpu) => {
                tracing::info!("computing on {}", description(&gpu));
                Ok(open_gpu(gpu.ordinal, F32Products::Tf32)?)
            }
            Err(why) if CUDA_IN_BUILD || name.is_some() => {
                tracing::info!("computing on the CPU: {why}");
                Ok(Device::Cpu)
            }
            // No device was asked for, and this build knows only CPUs: nothing to report.
            Err(_) => Ok(Device::Cpu),
        },
    }
}

/// Such as `cuda:0, NVIDIA H200, 141 GB`.
fn description(gpu: &Gpu) -> String {
    format!("cuda:{}, {}, {} GB", gpu.ordinal, gpu.name, gpu.total_bytes / 1_000_000_000)
}

/// Sizes the thread pool that all computations of this process share. The first call decides, and its thread
/// becomes one of the pool.
/// - `threads`: how many; by default as many as the pool has already, else as `RAYON_NUM_THREADS` says, else
///   as the machine has
///
/// # Errors
/// For 0, and for another number than the pool has already.
pub fn use_threads(threads: Option<usize>) -> Result<()> {
    let wanted =
        threads.map(|threads| NonZero::new(threads).context("--threads is 0, but must be at least 1"));
    let wanted = wanted.transpose()?;
    let Err(error) = cccm_runtime::use_threads(wanted) else { return Ok(()) };
    let threads = rayon::current_num_threads();
    match wanted {
        Some(wanted) if wanted.get() != threads => Err(error).with_context(|| {
            format!("this process computes with {threads} threads already, and cannot change to {wanted}")
        }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_that_is_not_there_is_an_error_and_auto_is_not() {
        let error = format!("{:#}", open(Some("cuda:4711")).unwrap_err());
        assert!(error.contains("cuda:4711") && error.contains("--device cpu"), "{error}");
        assert!(CUDA_IN_BUILD || error.contains("this build computes on CPUs alone"), "{error}");
        open(Some("auto")).unwrap();
        assert!(open(Some("cpu")).unwrap().is_cpu());
    }
}
