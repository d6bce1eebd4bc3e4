//! The networks, their training and their samplers against PyTorch: both architectures, two seeds.

mod case;
mod checkpoints;
mod distillation;
mod forward;
mod samplers;

use anyhow::Context;

/// Which kernels a test runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kernels {
    OfThisCpu,
    OfEveryCpu,
}

fn on_all_kernels(test: impl Fn(Kernels) -> anyhow::Result<()>) -> anyhow::Result<()> {
    test(Kernels::OfThisCpu).context("on the kernels of this CPU")?;
    cccm_kernels::portably(|| test(Kernels::OfEveryCpu)).context("on the kernels of every CPU")
}

/// The fixtures every test here goes through.
const FIXTURES: [&str; 4] = ["unetic", "unet", "seed11/unetic", "seed11/unet"];
