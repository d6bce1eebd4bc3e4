//! The devices that tests run on.

use candle_core::Device;

/// Every device at hand. A test of an operation loops over them all.
pub fn devices() -> Vec<Device> {
    vec![Device::Cpu]
}
