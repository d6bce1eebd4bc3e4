//! `cccm push`: a model for others.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use candle_core::Device;
use cccm_hub::{LocalFile, Push, RepoId, Visibility};
use cccm_run::stated_weights;
use cccm_unet::ModelFiles;
use serde::Serialize;

use crate::hub::{HubArgs, Transfer};

/// Upload a model directory to the Hugging Face Hub
///
/// Sends model.safetensors, config.json and README.md, nothing else, in one commit. The repository is created
/// if it does not exist. Files that the Hub has already are not sent again, so an interrupted upload
/// continues when the command is repeated. Prints one line of JSON.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct PushArgs {
    /// A model directory, or the run that made it
    #[arg(value_name = "DIR")]
    dir: PathBuf,

    /// Where to: your account or organisation, and a name
    #[arg(long, value_name = "OWNER/NAME")]
    repo: RepoId,

    /// Make the repository private, visible to its owner only; an existing public repository is refused
    #[arg(long)]
    private: bool,

    /// First line of the commit's message
    #[arg(long, value_name = "TEXT", default_value = "Upload a cccm model")]
    message: String,

    /// Only print what would be sent, with sizes in bytes; the Hub is not asked
    #[arg(long)]
    dry_run: bool,

    #[command(flatten)]
    hub: HubArgs,
}

/// What was done.
#[derive(Serialize)]
struct Record<'a> {
    repo: &'a str,
    commit: Option<&'a str>,
    changed: &'a [String],
}

impl PushArgs {
    /// Uploads.
    pub(crate) fn run(self, out: &mut dyn Write) -> Result<()> {
        let files = model_files(&self.dir)?;
        if self.dry_run {
            for LocalFile { name, path } in &files {
                let size = path.metadata().with_context(|| format!("cannot read {}", path.display()))?.len();
                writeln!(out, "{size:>12}  {name}")?;
            }
            return Ok(());
        }
        let visibility = if self.private { Visibility::Private } else { Visibility::Unchanged };
        let push = Push { repo: &self.repo, files: &files, visibility, message: &self.message };
        let mut transfer = Transfer::new();
        let pushed = self.hub.connect()?.push(&push, &mut |progress| transfer.show(progress))?;
        drop(transfer);
        let record = Record { repo: &pushed.url, commit: pushed.commit.as_deref(), changed: &pushed.changed };
        writeln!(out, "{}", serde_json::to_string(&record)?)?;
        tracing::info!("draw with it, from anywhere:\n  cccm sample --checkpoint hf://{}", self.repo);
        Ok(())
    }
}

/// The files of a model directory, after checking that it is one.
fn model_files(dir: &Path) -> Result<Vec<LocalFile>> {
    if !dir.is_dir() {
        bail!(
            "{} is no directory: `push` takes a model directory, such as the `model` of a run",
            dir.display()
        );
    }
    let model = ModelFiles::locate(dir)?;
    let folder = model.weights.parent().unwrap_or(dir);
    let whole = ModelFiles::in_directory(folder);
    if model != whole {
        bail!(
            "{} is no model directory: one holds model.safetensors and config.json; a run's is its `model`",
            dir.display()
        );
    }
    // Loads the whole model, so that none is uploaded that does not load.
    whole.load(&Device::Cpu).with_context(|| format!("{} is not uploaded", dir.display()))?;
    let file = |name: &str| LocalFile { name: name.to_owned(), path: folder.join(name) };
    let card = file("README.md");
    let has_card = card.path.symlink_metadata().is_ok_and(|metadata| metadata.is_file());
    if has_card {
        check_card(&card.path, &whole.weights)?;
    } else {
        tracing::warn!("{} has no README.md: others will not know what this is", folder.display());
    }
    Ok([file("model.safetensors"), file("config.json")].into_iter().chain(has_card.then_some(card)).collect())
}

/// Refuses a card that was written for other weights. One that names none is somebody's own.
fn check_card(card: &Path, weights: &Path) -> Result<()> {
    let text = std::fs::read_to_string(card).with_context(|| format!("cannot read {}", card.display()))?;
    let Some(stated) = stated_weights(&text) else { return Ok(()) };
    let file = std::fs::File::open(weights).and_then(cccm_files::sha256_of);
    if stated != file.with_context(|| format!("cannot read {}", weights.display()))? {
        bail!(
            "{} is the card of other weights, as its digest shows: write a new card, or remove the line with the digest",
            card.display()
        );
    }
    Ok(())
}
