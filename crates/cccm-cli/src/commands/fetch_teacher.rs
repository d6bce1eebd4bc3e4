//! `cccm fetch-teacher`: a published teacher, ready to distil.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use cccm::{PUBLISHED_REPO, assumed_hints, config_beside};
use cccm_files::create_dirs;
use cccm_hub::{Hub, HubFile, RepoId, Revision};
use cccm_run::model_card;
use cccm_unet::{Hints, ModelConfig, ModelFiles, Role, prepare_conversion};

use crate::args::{HintArgs, with_hint};
use crate::hub::{HubArgs, fetch};
use cccm_run::shell::quoted;

/// Download a teacher from the Hugging Face Hub and make a model directory of it
///
/// PyTorch files are read without Python, and nothing in them is executed. Downloads are kept in the Hub's
/// standard cache, and interrupted ones continue where they stopped. What the file does not tell, above all
/// the labels and the size of images, comes from the config.json beside it, from --preset or from the flags
/// below; for the default repository it is known.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct FetchTeacherArgs {
    /// The repository
    #[arg(long, value_name = "OWNER/NAME", default_value = PUBLISHED_REPO)]
    repo: RepoId,

    /// The file in it: .pth, .pt or .safetensors
    #[arg(long, value_name = "FILE", default_value = "teacher.pth")]
    file: String,

    /// Branch, tag or commit
    #[arg(long, value_name = "REVISION", default_value_t)]
    revision: Revision,

    /// The model directory to make [default: teachers/NAME]
    #[arg(long, value_name = "DIR")]
    dest: Option<PathBuf>,

    /// Replace the model that is in the directory
    #[arg(long)]
    force: bool,

    /// Only list the files of the repository, with their sizes in bytes
    #[arg(long, conflicts_with_all = ["dest", "force"])]
    list: bool,

    #[command(flatten)]
    hub: HubArgs,

    #[command(flatten)]
    hints: HintArgs,
}

impl FetchTeacherArgs {
    /// Fetches, or lists.
    pub(crate) fn run(self, out: &mut dyn Write) -> Result<()> {
        let hub = self.hub.connect()?;
        if self.list {
            return self.list(&hub, out);
        }
        let hints = self.hints.hints()?;
        let dest = self.dest.clone().unwrap_or_else(|| Path::new("teachers").join(self.repo.name()));
        let files = ModelFiles::in_directory(&dest);
        let is_there = files.weights.try_exists();
        if is_there.with_context(|| format!("cannot look at {}", dest.display()))? && !self.force {
            bail!(
                "{} holds a model: distil it with `cccm train --teacher {}`, or give another --dest, or --force to \
                 replace it",
                dest.display(),
                quoted(dest.display())
            );
        }
        let file = HubFile::new(self.repo.clone(), self.revision.clone(), &self.file)?;
        let config = fetch_model(&hub, &file, hints, &dest)?;
        let (dest, px) = (quoted(dest.display()), config.image_px);
        let next = match config.role {
            Role::Teacher => format!("distil it with\n  cccm train --teacher {dest} --data DIR"),
            Role::Student => format!("draw with it\n  cccm sample --checkpoint {dest} --steps 4"),
        };
        tracing::info!("{dest} draws {px}×{px} pictures; {next}");
        Ok(())
    }

    fn list(&self, hub: &Hub, out: &mut dyn Write) -> Result<()> {
        for file in hub.list(&self.repo, &self.revision)? {
            let size = file.size.map_or_else(|| "?".to_owned(), |size| size.to_string());
            writeln!(out, "{size:>12}  {}", file.name.escape_debug())?;
        }
        Ok(())
    }
}

/// Downloads a file and makes a model directory of it: weights, config, and a card that says where they are from.
fn fetch_model(hub: &Hub, file: &HubFile, hints: Hints, dest: &Path) -> Result<ModelConfig> {
    let fetched = fetch(hub, file)?;
    let beside = config_beside(hub, file, &fetched)?;
    let beside = beside.as_ref().map(Hints::from_config).unwrap_or_default();
    let hints = hints.or(beside).or(assumed_hints(file));
    create_dirs(dest).with_context(|| format!("cannot create {}", dest.display()))?;
    let (config, model) = prepare_conversion(&fetched.path, &hints, &ModelFiles::in_directory(dest))
        .inspect_err(|_| {
            // Removes nothing but an empty directory.
            std::fs::remove_dir(dest).ok();
        })
        .map_err(with_hint)
        .with_context(|| format!("cannot make a model of {file}"))?;
    let origin = file.at(&fetched.commit).to_string();
    let card = model_card(&config, &[("converted from".to_owned(), origin)], model.weights_sha256());
    model.with_file(&dest.join("README.md"), card.as_bytes())?.commit()?;
    Ok(config)
}
