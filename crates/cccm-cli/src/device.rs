//! Where to compute.

use std::cmp::Reverse;
use std::num::NonZero;
use std::str::FromStr;

use anyhow::{Context, Error, Result, bail};
use candle_core::Device;
use cccm_runtime::{CUDA_IN_BUILD, F32Products, Gpu, gpus, open_gpu};

/// A device, as users name it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Choice {
    Cpu,
    /// A GPU, by its number.
    Cuda(usize),
    /// The best there is.
    #[default]
    Auto,
}

impl FromStr for Choice {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        match name.split_once(':').unwrap_or((name, "0")) {
            ("cpu", _) if name == "cpu" => Ok(Self::Cpu),
            ("auto", _) if name == "auto" => Ok(Self::Auto),
            ("cuda", ordinal) if ordinal.parse::<usize>().is_ok() => Ok(Self::Cuda(ordinal.parse()?)),
            _ => bail!(
                "no device `{name}`: there are `cpu`, `cuda` or `cuda:0` for the first GPU, `cuda:1` for the \
                 second and so on, and `auto` for the best of them"
            ),
        }
    }
}

/// The device a user named; without a name, the best there is. Products of `f32` matrices are rounded to TF32 on GPUs.
pub(crate) fn open(name: Option<&str>) -> Result<Device> {
    match name.map(str::parse).transpose()?.unwrap_or_default() {
        Choice::Cpu => Ok(Device::Cpu),
        Choice::Cuda(ordinal) => open_gpu(ordinal, F32Products::Tf32)
            .with_context(|| format!("--device cuda:{ordinal} cannot be had; --device cpu computes without")),
        Choice::Auto => match best_gpu() {
            Ok(gpu) => {
                tracing::info!("computing on {}", description(&gpu));
                Ok(open_gpu(gpu.ordinal, F32Products::Tf32)?)
            }
            Err(why) if CUDA_IN_BUILD || name.is_some() => {
                tracing::info!("computing on the CPU: {why:#}");
                Ok(Device::Cpu)
            }
            // Nothing was asked for, and there is nothing to choose from.
            Err(_) => Ok(Device::Cpu),
        },
    }
}

/// The GPU that `auto` takes: the newest, of those the largest, of those the first.
pub(crate) fn best_gpu() -> Result<Gpu> {
    let gpus = gpus()?;
    let count = gpus.len();
    gpus.into_iter().filter(Gpu::is_new_enough).max_by_key(rank).with_context(|| match count {
        0 => "the NVIDIA driver sees no GPU".to_owned(),
        count => format!("none of {count} GPUs is new enough"),
    })
}

fn rank(gpu: &Gpu) -> ((u32, u32), u32, u64, Reverse<usize>) {
    (gpu.compute_capability, gpu.multiprocessors, gpu.total_bytes, Reverse(gpu.ordinal))
}

/// Such as `cuda:0, NVIDIA H200, 141 GB`.
pub(crate) fn description(gpu: &Gpu) -> String {
    format!("cuda:{}, {}, {} GB", gpu.ordinal, gpu.name, gpu.total_bytes / 1_000_000_000)
}

/// Sizes the thread pool that all computing shares.
pub(crate) fn use_threads(threads: Option<usize>) -> Result<()> {
    let threads =
        threads.map(|threads| NonZero::new(threads).context("--threads is 0, but must be at least 1"));
    Ok(cccm_runtime::use_threads(threads.transpose()?)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_named() {
        let choice = |name: &str| name.parse::<Choice>();
        assert_eq!(choice("cpu").unwrap(), Choice::Cpu);
        assert_eq!(choice("auto").unwrap(), Choice::Auto);
        assert_eq!(
            (choice("cuda").unwrap(), choice("cuda:12").unwrap()),
            (Choice::Cuda(0), Choice::Cuda(12))
        );
        for name in ["gpu", "cpu:0", "auto:1", "cuda:", "cuda:-1", "cuda:x", "cuda:0:1", ""] {
            let error = choice(name).unwrap_err().to_string();
            assert!(error.starts_with(&format!("no device `{name}`")), "{error}");
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

    #[test]
    fn a_device_that_is_not_there_is_an_error_and_auto_is_not() {
        let error = format!("{:#}", open(Some("cuda:4711")).unwrap_err());
        assert!(error.contains("cuda:4711") && error.contains("--device cpu"), "{error}");
        assert!(CUDA_IN_BUILD || error.contains("this build computes on CPUs alone"), "{error}");
        open(Some("auto")).unwrap();
        assert!(open(Some("cpu")).unwrap().is_cpu());
    }
}
