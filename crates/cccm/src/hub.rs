//! Models on the Hugging Face Hub.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use candle_core::Device;
use cccm_data::Preset;
use cccm_hub::{Error as HubError, Fetched, Hub, HubConfig, HubData, HubFile, Progress};
use cccm_unet::{Hints, ModelConfig, ModelFiles, Parameters, load_checkpoint};

use crate::hints::preset_hints;

/// Where the published teacher is; its labels are CelebA's.
pub const PUBLISHED_REPO: &str = "bobolai/StepFusionCCCM";
/// Between lines that say how far a download is.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// The Hub as the environment's `HF_` and proxy variables have it.
fn hub() -> Result<Hub> {
    Ok(Hub::new(HubConfig::from_variables(|name| std::env::var_os(name))?)?)
}

/// Downloads the file at an `hf://` place, unless it is in the cache, and gives its path.
pub(crate) fn fetch(place: &str) -> Result<PathBuf> {
    Ok(fetched(&hub()?, &place.parse()?)?.path)
}

/// Downloads what is needed of a data set unless it is in the cache, and gives the folder that it lies in.
pub(crate) fn fetch_data(place: &str) -> Result<PathBuf> {
    // What trains and what scores have the same data, whatever is pushed meanwhile.
    static FETCHED: Mutex<BTreeMap<String, PathBuf>> = Mutex::new(BTreeMap::new());
    let mut fetched = FETCHED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(folder) = fetched.get(place) {
        return Ok(folder.clone());
    }
    let data: HubData = place.parse()?;
    let mut say = said_now_and_then();
    let folder = hub()?.fetch_data(&data, cccm_data::needed_files, &mut say)?;
    fetched.insert(place.to_owned(), folder.clone());
    Ok(folder)
}

/// Lines that say how far a download is.
fn said_now_and_then() -> impl FnMut(Progress<'_>) {
    let mut last = Instant::now();
    move |progress: Progress<'_>| {
        if last.elapsed() > LINE_EVERY {
            let percent = 100 * progress.done / progress.total.max(1);
            tracing::info!("{}: {percent} % of {} bytes", progress.file, progress.total);
            last = Instant::now();
        }
    }
}

fn fetched(hub: &Hub, file: &HubFile) -> Result<Fetched> {
    let mut say = said_now_and_then();
    Ok(hub.fetch(file, &mut say)?)
}

/// Reads the model at an `hf://` place: with the `config.json` beside it, or for published files, what is known of them.
pub(crate) fn load(place: &str, device: &Device) -> Result<(ModelConfig, Parameters)> {
    let (hub, file) = (hub()?, place.parse::<HubFile>()?);
    let fetched = fetched(&hub, &file)?;
    let broken = || format!("cannot load the model at {place}");
    if config_beside(&hub, &file, &fetched)?.is_some() {
        return ModelFiles::locate(&fetched.path)?.load(device).with_context(broken);
    }
    load_checkpoint(&fetched.path, &assumed_hints(&file), device).with_context(|| {
        format!(
            "{}; `cccm fetch-teacher` makes a model of it, with flags for what the file does not say",
            broken()
        )
    })
}

/// The `config.json` beside a downloaded file, from the same commit; none where the Hub says that there is none, or where it is
/// another program's.
///
/// # Errors
/// When the Hub does not say whether there is one, or when it cannot be used.
pub fn config_beside(hub: &Hub, file: &HubFile, fetched: &Fetched) -> Result<Option<ModelConfig>> {
    let beside = file.at(&fetched.commit).sibling("config.json")?;
    let found = match hub.fetch_at_most(ModelConfig::MOST_BYTES, &beside, &mut |_| ()) {
        Ok(found) => found,
        Err(HubError::FileNotFound { .. }) => return Ok(None),
        // Without its config, this would be another model. So it is an error if the Hub does not tell.
        Err(error) => {
            return Err(error)
                .with_context(|| format!("cannot tell whether there is a config beside {file}"));
        }
    };
    match ModelConfig::load(&found.path) {
        Ok(config) => Ok(Some(config)),
        Err(error) if is_of_others(&found.path)? => {
            tracing::warn!("{beside} is not used, as it is not a config of cccm: {error}");
            Ok(None)
        }
        Err(error) => Err(error).with_context(|| format!("cannot use {beside}")),
    }
}

/// Whether a `config.json` is another program's: an object without the section that ours are about.
fn is_of_others(path: &Path) -> Result<bool> {
    let text = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let object = serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(&text);
    Ok(object.is_ok_and(|object| !object.contains_key("unet")))
}

/// What is known about the files of the published repository.
pub fn assumed_hints(file: &HubFile) -> Hints {
    if file.repo.as_str() == PUBLISHED_REPO { preset_hints(Preset::Celeba) } else { Hints::default() }
}
