//! The Hugging Face Hub as the program uses it: settings from the environment, progress on the terminal, models at
//! `hf://` places.

#![expect(clippy::doc_markdown, reason = "help texts are read in a terminal")]

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use candle_core::Device;
use cccm_data::Preset;
use cccm_unet::pretrained::{Fetched, Hub, HubConfig, HubError, HubFile, Progress, Token};
use cccm_unet::{Hints, ModelConfig, ModelFiles, Parameters, load_checkpoint};
use indicatif::{ProgressBar, ProgressStyle};

use crate::args::preset_hints;

/// Where the published teacher is; its labels are CelebA's.
pub(crate) const PUBLISHED_REPO: &str = "bobolai/StepFusionCCCM";
/// Between lines where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// How to reach the Hub.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Hub")]
pub(crate) struct HubArgs {
    /// Address of the Hub, or of a mirror [default: HF_ENDPOINT, else the public one]
    #[arg(long, value_name = "URL")]
    endpoint: Option<String>,

    /// Access token; other users of this machine can see it in the list of processes, but not HF_TOKEN [default:
    /// HF_TOKEN, else what `hf auth login` stored]
    #[arg(long, value_name = "TOKEN")]
    token: Option<Token>,

    /// Send the token even to an address without https, where whoever is on the way can read it
    #[arg(long)]
    token_over_http: bool,
}

impl HubArgs {
    /// The Hub under these flags and the environment's `HF_` and proxy variables.
    pub(crate) fn connect(&self) -> Result<Hub> {
        let mut config = HubConfig::from_variables(|name| std::env::var_os(name))?;
        if let Some(endpoint) = &self.endpoint {
            config.endpoint.clone_from(endpoint);
        }
        if let Some(token) = &self.token {
            config.token = Some(token.clone());
        }
        config.token_over_http = self.token_over_http;
        Ok(Hub::new(config)?)
    }
}

/// Downloads a file, unless it is in the cache, and shows how far it is.
pub(crate) fn fetch(hub: &Hub, file: &HubFile) -> Result<Fetched> {
    let mut transfer = Transfer::new();
    Ok(hub.fetch(file, &mut |progress| transfer.show(progress))?)
}

/// Downloads the file at an `hf://` place, unless it is in the cache, and gives its path.
pub(crate) fn fetch_place(place: &str) -> Result<PathBuf> {
    Ok(fetch(&HubArgs::default().connect()?, &place.parse()?)?.path)
}

/// Reads the model at an `hf://` place: with the `config.json` beside it, or for published files, what is known of them.
pub(crate) fn load(place: &str, device: &Device) -> Result<(ModelConfig, Parameters)> {
    let (hub, file) = (HubArgs::default().connect()?, place.parse::<HubFile>()?);
    let fetched = fetch(&hub, &file)?;
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
pub(crate) fn config_beside(hub: &Hub, file: &HubFile, fetched: &Fetched) -> Result<Option<ModelConfig>> {
    let beside = file.at(&fetched.commit).sibling("config.json")?;
    let found = match hub.fetch_at_most(ModelConfig::MOST_BYTES, &beside, &mut |_| ()) {
        Ok(found) => found,
        Err(HubError::FileNotFound { .. }) => return Ok(None),
        // A model without its config would be another model: what cannot be told is an error.
        Err(error) => {
            return Err(error)
                .with_context(|| format!("cannot tell whether there is a config beside {file}"));
        }
    };
    match ModelConfig::load(&found.path) {
        Ok(config) => Ok(Some(config)),
        Err(error) if is_of_others(&found.path)? => {
            tracing::warn!("{beside} is not used, as it is none of cccm's: {error}");
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
pub(crate) fn assumed_hints(file: &HubFile) -> Hints {
    if file.repo.as_str() == PUBLISHED_REPO { preset_hints(Preset::Celeba) } else { Hints::default() }
}

/// Shows transfers: a bar on a terminal, else a line now and then.
pub(crate) struct Transfer {
    bar: Option<ProgressBar>,
    last_line: Instant,
}

impl Transfer {
    pub(crate) fn new() -> Self {
        let style = "{msg}  {bar:30} {bytes} of {total_bytes}  {bytes_per_sec}  {elapsed} < {eta}";
        let style = ProgressStyle::with_template(style).ok().filter(|_| std::io::stderr().is_terminal());
        let bar = style.map(|style| ProgressBar::new(0).with_style(style));
        Self { bar, last_line: Instant::now() }
    }

    pub(crate) fn show(&mut self, progress: Progress<'_>) {
        if let Some(bar) = &self.bar {
            bar.set_message(progress.file.to_owned());
            bar.set_length(progress.total);
            bar.set_position(progress.done);
        } else if self.last_line.elapsed() > LINE_EVERY {
            let percent = 100 * progress.done / progress.total.max(1);
            tracing::info!("{}: {percent} % of {} bytes", progress.file, progress.total);
            self.last_line = Instant::now();
        }
    }
}

impl Drop for Transfer {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
