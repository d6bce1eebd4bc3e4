//! `scores.json`: the scores of one number of steps, and how they came about.

use std::path::Path;

use anyhow::{Context, Result, bail};
use cccm_eval::Accuracy;
use cccm_labels::LabelKind;
use cccm_run::write_atomically;
use cccm_unet::Role;
use serde::{Deserialize, Serialize};
use toml::Table;

use crate::score::Scores;
use crate::settings::SampleSettings;

/// Contents of `scores.json`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Record {
    /// Version of the program.
    pub cccm: String,
    /// The model, as it was named.
    pub checkpoint: String,
    /// Teacher or student.
    pub role: Role,
    /// Of the pictures, attributes before objects; absent in scores of before reports.
    #[serde(default)]
    pub labels: Vec<LabelKind>,
    /// How the pictures were sampled.
    #[serde(flatten)]
    pub settings: SampleSettings,
    /// The other flags about judge and real images, by name; absent in scores from before this field existed.
    #[serde(default)]
    pub flags: Table,
    /// Network evaluations of a picture.
    pub evaluations_per_image: usize,
    /// Wall time of a picture, drawn in batches.
    pub secs_per_image: f64,
    /// Digest of the real images behind classifier and distances.
    pub data: String,
    /// What distances are computed on.
    pub features: String,
    /// Of the classifier, on real images that it did not learn from.
    pub classifier_accuracy: Accuracy,
    /// Of the pictures.
    pub scores: Scores,
    /// Of real images that the classifier did not learn from, at most as many of each combination.
    pub real: Scores,
}

/// The part of the file that tells which version wrote it; all versions can read it.
#[derive(Deserialize)]
struct Writer {
    cccm: String,
}

impl Record {
    /// Name of the file.
    pub const FILE: &'static str = "scores.json";

    /// Writes the file of a folder.
    ///
    /// # Errors
    /// Those of the file system, with the path.
    pub fn write(&self, folder: &Path) -> Result<()> {
        write_atomically(&folder.join(Self::FILE), &serde_json::to_vec_pretty(self)?)
    }

    /// Reads the file of a folder, which this version must have written: scores of another need not mean the same.
    ///
    /// # Errors
    /// When it cannot be read, is damaged, or is of another version.
    pub fn read(folder: &Path) -> Result<Self> {
        let path = folder.join(Self::FILE);
        let text = std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let ours = env!("CARGO_PKG_VERSION");
        match serde_json::from_slice::<Writer>(&text) {
            Ok(Writer { cccm }) if cccm != ours => bail!(
                "{} holds scores of cccm {cccm}, but this is {ours}: run its `cccm eval` again, which keeps the \
                 pictures",
                path.display()
            ),
            _ => {}
        }
        serde_json::from_slice(&text).with_context(|| {
            format!(
                "{} is damaged: remove it, and run its `cccm eval` again, which keeps the pictures",
                path.display()
            )
        })
    }
}
