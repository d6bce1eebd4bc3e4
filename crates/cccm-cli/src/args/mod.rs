//! What users type, as `config.toml` records it: every setting optional, so that flags, file and recipe can be laid
//! over each other.

mod data;
mod hints;
mod network;
mod optim;
mod run;

use serde::Serialize;
use serde::de::DeserializeOwned;

pub(crate) use data::DataArgs;
#[cfg(feature = "hub")]
pub(crate) use hints::of_preset as preset_hints;
pub(crate) use hints::{HintArgs, with_hint};
pub(crate) use network::NetworkArgs;
pub(crate) use optim::OptimArgs;
pub(crate) use run::RunArgs;

/// `over` where it says something, else `base`.
pub(crate) fn merge<T: Serialize + DeserializeOwned>(over: &T, base: &T) -> anyhow::Result<T> {
    let mut table = toml::Table::try_from(base)?;
    table.extend(toml::Table::try_from(over)?);
    Ok(table.try_into()?)
}

/// A setting that the recipe under the flags always has.
pub(crate) fn required<T>(value: Option<T>, name: &str) -> anyhow::Result<T> {
    value.ok_or_else(|| anyhow::anyhow!("`{name}` is not set, and this recipe has no default for it"))
}
