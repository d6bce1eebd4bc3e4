//! Devices as users name them.

use std::cmp::Reverse;
use std::str::FromStr;

use crate::{Error, Gpu, Result, gpus};

/// A device as users name it: `cpu`, `cuda`, `cuda:1`, `auto`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeviceChoice {
    /// The CPU.
    Cpu,
    /// A GPU, by its number; `cuda` is number 0.
    Cuda(usize),
    /// The best there is.
    #[default]
    Auto,
}

impl FromStr for DeviceChoice {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let unknown = || Error::UnknownDevice { name: name.to_owned() };
        match name {
            "cpu" => Ok(Self::Cpu),
            "cuda" => Ok(Self::Cuda(0)),
            "auto" => Ok(Self::Auto),
            other => {
                let ordinal = other.strip_prefix("cuda:").and_then(|ordinal| ordinal.parse().ok());
                ordinal.map(Self::Cuda).ok_or_else(unknown)
            }
        }
    }
}

/// The best GPU: the newest, of those the largest, of those the first.
///
/// # Errors
/// As [`gpus`], and [`Error::NoUsableGpu`] when there is none, or none that is new enough.
pub fn best_gpu() -> Result<Gpu> {
    let gpus = gpus()?;
    let count = gpus.len();
    gpus.into_iter().filter(Gpu::is_new_enough).max_by_key(rank).ok_or(Error::NoUsableGpu { count })
}

fn rank(gpu: &Gpu) -> ((u32, u32), u32, u64, Reverse<usize>) {
    (gpu.compute_capability, gpu.multiprocessors, gpu.total_bytes, Reverse(gpu.ordinal))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_named() {
        let choice = |name: &str| name.parse::<DeviceChoice>();
        assert_eq!(choice("cpu").unwrap(), DeviceChoice::Cpu);
        assert_eq!(choice("auto").unwrap(), DeviceChoice::Auto);
        assert_eq!(choice("cuda").unwrap(), DeviceChoice::Cuda(0));
        assert_eq!(choice("cuda:12").unwrap(), DeviceChoice::Cuda(12));
        for name in ["gpu", "cpu:0", "auto:1", "cuda:", "cuda:-1", "cuda:x", "cuda:0:1", ""] {
            let error = choice(name).unwrap_err();
            assert!(matches!(&error, Error::UnknownDevice { name: known } if known == name), "{error}");
        }
    }

    #[test]
    fn the_best_gpu_is_the_newest_then_the_largest_then_the_first() {
        let gpu = |ordinal, compute_capability, multiprocessors| Gpu {
            ordinal,
            name: String::new(),
            compute_capability,
            total_bytes: 1,
            multiprocessors,
        };
        let better = |a: &Gpu, b: &Gpu| rank(a) > rank(b);
        assert!(better(&gpu(1, (9, 0), 10), &gpu(0, (8, 9), 100)));
        assert!(better(&gpu(1, (9, 0), 132), &gpu(0, (9, 0), 114)));
        assert!(better(&gpu(0, (9, 0), 132), &gpu(1, (9, 0), 132)));
    }
}
