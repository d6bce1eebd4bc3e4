//! Finding models: built-in ones, whatever a path holds, or a file of the Hugging Face Hub.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use candle_core::Device;
use cccm_run::plain;
use cccm_unet::{ModelConfig, ModelFiles, Parameters};

/// Name of the built-in teacher where a path is expected.
pub const BUILTIN_TEACHER: &str = "builtin:teacher";

/// Name of its student, distilled by the best recipe.
pub const BUILTIN_STUDENT: &str = "builtin:student";

/// What names of built-in models start with.
const BUILTIN: &str = "builtin:";

/// What places on the Hub start with.
const HUB: &str = "hf://";

/// Reads the model at a run, a model directory, a checkpoint or a file, an `hf://` place, or a built-in one.
pub(crate) fn load(place: &str, device: &Device) -> Result<(ModelConfig, Parameters)> {
    if place.starts_with(BUILTIN) {
        return built_in(place, device);
    }
    if place.starts_with(HUB) {
        #[cfg(feature = "hub")]
        return crate::hub::load(place, device);
        #[cfg(not(feature = "hub"))]
        return Err(without_hub(place));
    }
    let path = Path::new(place);
    let files = ModelFiles::locate(path).map_err(|error| {
        // Weights from elsewhere, without a config.
        if path.is_file() {
            let error = anyhow::Error::from(error);
            anyhow::anyhow!("{error:#}; `cccm convert` makes a model of weights that come from elsewhere")
        } else {
            error.into()
        }
    })?;
    files.load(device).with_context(|| format!("cannot load the model at {place}"))
}

/// Resolves links, so that a recorded place still names this run when `runs/latest` has moved on.
pub(crate) fn without_links(place: String) -> String {
    if place.starts_with(BUILTIN) || place.starts_with(HUB) {
        return place;
    }
    // If nothing is there, `load` will report it.
    std::fs::canonicalize(&place).map_or(place, |path| plain(&path).display().to_string())
}

/// The file at a path, or one of the Hub, downloaded unless it is in the cache.
///
/// # Errors
/// When the Hub does not have it or cannot be reached.
pub fn file_at(place: &str) -> Result<PathBuf> {
    if place.starts_with(HUB) {
        #[cfg(feature = "hub")]
        return crate::hub::fetch(place);
        #[cfg(not(feature = "hub"))]
        return Err(without_hub(place));
    }
    Ok(PathBuf::from(place))
}

#[cfg(not(feature = "hub"))]
fn without_hub(place: &str) -> anyhow::Error {
    anyhow::anyhow!("{place} is on the Hugging Face Hub, and this `cccm` was built without the feature `hub`")
}

fn built_in(place: &str, device: &Device) -> Result<(ModelConfig, Parameters)> {
    let (config, weights) = match place {
        BUILTIN_TEACHER => (cccm_assets::TEACHER_CONFIG, cccm_assets::TEACHER_WEIGHTS),
        BUILTIN_STUDENT => (cccm_assets::STUDENT_CONFIG, cccm_assets::STUDENT_WEIGHTS),
        _ => bail!("there is no model {place}; built in are {BUILTIN_STUDENT} and {BUILTIN_TEACHER}"),
    };
    let name = PathBuf::from(place);
    let config = ModelConfig::parse(config, &name)?;
    let parameters = config.parse_parameters(weights, &name, device)?;
    Ok((config, parameters))
}
