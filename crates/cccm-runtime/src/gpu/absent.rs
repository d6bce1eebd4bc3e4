//! A build without feature `cuda`.

use candle_core::Device;

use super::{F32Products, Gpu, GpuDriver, GpuLibrary};
use crate::{Error, Result};

pub(super) fn driver() -> Result<GpuDriver> {
    Err(Error::CpuOnlyBuild)
}

pub(super) fn gpus() -> Result<Vec<Gpu>> {
    Err(Error::CpuOnlyBuild)
}

pub(super) fn open(_ordinal: usize, _products: F32Products) -> Result<Device> {
    Err(Error::CpuOnlyBuild)
}

pub(super) fn free_bytes(_device: &Device) -> Result<u64> {
    Err(Error::CpuOnlyBuild)
}

pub(super) fn peak_bytes(_device: &Device) -> Result<u64> {
    Err(Error::CpuOnlyBuild)
}

pub(super) fn libraries() -> Vec<GpuLibrary> {
    Vec::new()
}
