//! What users type, as `config.toml` records it: every setting optional, so that flags, file and recipe can be laid
//! over each other.

mod data;
mod draws;
mod dtype;
mod guidance;
mod hints;
mod judge;
mod launch;
mod network;
mod optim;
pub(crate) mod python;
mod run;

pub(crate) use data::DataArgs;
pub(crate) use draws::DrawArgs;
pub(crate) use dtype::Dtype;
pub(crate) use guidance::GuidanceArgs;
#[cfg(feature = "hub")]
pub(crate) use hints::of_preset as preset_hints;
pub(crate) use hints::{HintArgs, hinted, with_hint};
pub(crate) use judge::JudgeArgs;
pub(crate) use launch::LaunchArgs;
pub(crate) use network::NetworkArgs;
pub(crate) use optim::OptimArgs;
pub(crate) use run::RunArgs;

/// A setting that the recipe under the flags always has.
pub(crate) fn required<T>(value: Option<T>, name: &str) -> anyhow::Result<T> {
    value.ok_or_else(|| anyhow::anyhow!("`{name}` is not set, and this recipe has no default for it"))
}
