//! The networks, their training and their samplers against PyTorch: both architectures, two seeds.

mod case;
mod checkpoints;
mod distillation;
mod forward;
mod samplers;

use anyhow::Context;
use candle_core::Device;
use cccm_tests::{Tolerance, devices};

/// Which kernels a test runs on.
#[derive(Clone, Debug)]
enum Kernels {
    ThisCpu,
    EveryCpu,
    Gpu(Device),
}

/// How much of the largest value a GPU may be off by, whose sums are in another order.
const ON_GPUS: f64 = 1e-4;

impl Kernels {
    fn device(&self) -> &Device {
        match self {
            Self::ThisCpu | Self::EveryCpu => &Device::Cpu,
            Self::Gpu(device) => device,
        }
    }

    /// The tolerance of a CPU, or a looser one.
    fn tolerance(&self, on_cpus: Tolerance) -> Tolerance {
        match self {
            Self::ThisCpu | Self::EveryCpu => on_cpus,
            Self::Gpu(_) => Tolerance { rel: on_cpus.rel.max(ON_GPUS), ..on_cpus },
        }
    }
}

fn on_all_kernels(test: impl Fn(&Kernels) -> anyhow::Result<()>) -> anyhow::Result<()> {
    test(&Kernels::ThisCpu).context("on the kernels of this CPU")?;
    cccm_kernels::portably(|| test(&Kernels::EveryCpu)).context("on the kernels of every CPU")?;
    let mut gpus = devices().into_iter().filter(|device| !device.is_cpu());
    gpus.try_for_each(|gpu| test(&Kernels::Gpu(gpu))).context("on a GPU")
}

/// The fixtures every test here goes through.
const FIXTURES: [&str; 4] = ["unetic", "unet", "seed11/unetic", "seed11/unet"];
