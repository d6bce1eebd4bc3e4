//! GPUs through CUDA's driver.

#![expect(unsafe_code, reason = "calls of the driver")]

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use candle_core::cuda_backend::cudarc::driver::{CudaContext, DriverError, result, sys};
use candle_core::cuda_backend::set_gemm_reduced_precision_f32;
use candle_core::{CudaDevice, Device};

use super::{F32Products, Gpu, GpuDriver, libraries};
use crate::{Error, Result};

pub(super) use libraries::all as libraries;

/// The version of CUDA whose functions this build calls, and for which candle's kernels are compiled.
const NEEDED: (u32, u32) = version(sys::CUDA_VERSION);

/// The driver writes 13.0 as 13000.
const fn version(number: u32) -> (u32, u32) {
    (number / 1000, number % 1000 / 10)
}

pub(super) fn driver() -> Result<GpuDriver> {
    // A program whose CUDA is loaded lazily starts without the library; a call would not tell why it fails.
    libraries::driver().map_err(|reason| Error::NoDriver { reason, needed: NEEDED })?;
    let mut number = 0;
    // SAFETY: `number` is where the driver writes its version; it needs no initialisation.
    unsafe { sys::cuDriverGetVersion(&raw mut number) }
        .result()
        .map_err(|error| failed("tell its version", error))?;
    let cuda = version(number.unsigned_abs());
    Ok(GpuDriver { cuda, needed: NEEDED, release: release() })
}

/// From a line such as `NVRM version: NVIDIA UNIX x86_64 Kernel Module  580.65.06  Sun Jul 27 …`.
fn release() -> Option<String> {
    let text = std::fs::read_to_string("/proc/driver/nvidia/version").ok()?;
    let is_release = |word: &&str| {
        word.contains('.') && word.chars().all(|letter| letter.is_ascii_digit() || letter == '.')
    };
    text.lines().next()?.split_whitespace().find(is_release).map(str::to_owned)
}

pub(super) fn gpus() -> Result<Vec<Gpu>> {
    let driver = driver()?;
    if driver.cuda < NEEDED {
        return Err(Error::OldDriver { found: driver.cuda, needed: NEEDED });
    }
    match result::init() {
        Err(DriverError(sys::CUresult::CUDA_ERROR_NO_DEVICE)) => return Ok(Vec::new()),
        other => other.map_err(|error| failed("start", error))?,
    }
    let count = result::device::get_count().map_err(|error| failed("count the GPUs", error))?;
    (0..count).map(|ordinal| describe(ordinal).map_err(|error| failed("describe a GPU", error))).collect()
}

fn describe(ordinal: i32) -> Result<Gpu, DriverError> {
    use sys::CUdevice_attribute as Attribute;
    let gpu = result::device::get(ordinal)?;
    let attribute = |attribute| {
        // SAFETY: `gpu` comes from the driver.
        unsafe { result::device::get_attribute(gpu, attribute) }.map(i32::unsigned_abs)
    };
    Ok(Gpu {
        ordinal: ordinal.unsigned_abs() as usize,
        name: result::device::get_name(gpu)?,
        compute_capability: (
            attribute(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)?,
            attribute(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)?,
        ),
        // SAFETY: `gpu` comes from the driver.
        total_bytes: unsafe { result::device::total_mem(gpu)? } as u64,
        multiprocessors: attribute(Attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)?,
    })
}

pub(super) fn open(ordinal: usize, products: F32Products) -> Result<Device> {
    /// What is open, by number.
    static OPEN: Mutex<BTreeMap<usize, CudaDevice>> = Mutex::new(BTreeMap::new());
    let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
    let device = match open.get(&ordinal) {
        Some(device) => device.clone(),
        None => set_up(ordinal)?,
    };
    open.insert(ordinal, device.clone());
    set_gemm_reduced_precision_f32(products == F32Products::Tf32);
    Ok(Device::Cuda(device))
}

fn set_up(ordinal: usize) -> Result<CudaDevice> {
    let mut gpus = gpus()?;
    let count = gpus.len();
    if ordinal >= count {
        return Err(Error::NoSuchGpu { ordinal, count });
    }
    let gpu = gpus.swap_remove(ordinal);
    if !gpu.is_new_enough() {
        return Err(Error::OldGpu { ordinal, name: gpu.name, found: gpu.compute_capability });
    }
    // Not candle's default, the stream of the calling thread: tensors of one thread may be used and dropped by another.
    let device = CudaDevice::new_with_stream(ordinal)?;
    // SAFETY: all work on this device is queued on the one stream that it has, hence in order.
    unsafe { device.disable_event_tracking() };
    keep_memory(device.cuda_stream().context()).map_err(|error| failed("keep memory", error))?;
    Ok(device)
}

/// Has freed memory stay in the process's pool; by default it goes back at every synchronisation.
fn keep_memory(context: &CudaContext) -> Result<(), DriverError> {
    if !context.has_async_alloc() {
        return Ok(());
    }
    let mut threshold = u64::MAX;
    // SAFETY: the GPU is the context's own.
    let pool = unsafe { result::device::get_default_mem_pool(context.cu_device())? };
    // SAFETY: the attribute's value is a 64-bit number, which the driver reads during the call.
    unsafe {
        sys::cuMemPoolSetAttribute(
            pool,
            sys::CUmemPool_attribute::CU_MEMPOOL_ATTR_RELEASE_THRESHOLD,
            (&raw mut threshold).cast(),
        )
    }
    .result()
}

pub(super) fn free_bytes(device: &Device) -> Result<u64> {
    let stream = device.as_cuda_device()?.cuda_stream();
    let (free, _) = stream.context().mem_get_info().map_err(|error| failed("tell the free memory", error))?;
    Ok(free as u64)
}

fn failed(action: &'static str, error: DriverError) -> Error {
    Error::Driver { action, reason: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_as_the_driver_writes_them() {
        assert_eq!((version(13000), version(12080)), ((13, 0), (12, 8)));
    }
}
