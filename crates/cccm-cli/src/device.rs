//! Where to compute.

use std::num::NonZero;

use anyhow::{Context, Result, bail};
use candle_core::Device;

/// The device a user named; `auto` takes the best there is.
pub(crate) fn open(name: Option<&str>) -> Result<Device> {
    match name.unwrap_or("auto") {
        "cpu" | "auto" => Ok(Device::Cpu),
        other => bail!("no device `{other}`: this build knows `cpu` and `auto`"),
    }
}

/// Sizes the thread pool that all computing shares.
pub(crate) fn use_threads(threads: Option<usize>) -> Result<()> {
    let threads =
        threads.map(|threads| NonZero::new(threads).context("--threads is 0, but must be at least 1"));
    Ok(cccm_runtime::use_threads(threads.transpose()?)?)
}
