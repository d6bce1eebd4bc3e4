//! `scores.json`: the scores of one number of steps, and how they came about.

use std::path::Path;

use anyhow::{Context, Result, bail};
use cccm_eval::Accuracy;
use cccm_sched::LabelKind;
use cccm_unet::Role;
use serde::{Deserialize, Serialize};
use toml::Table;

use super::draw::SampleSettings;
use super::score::Scores;
use crate::files::write_atomically;

/// Contents of `scores.json`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) cccm: String,
    pub(crate) checkpoint: String,
    pub(crate) role: Role,
    /// Of the pictures, attributes before objects; absent in scores of before reports.
    #[serde(default)]
    pub(crate) labels: Vec<LabelKind>,
    #[serde(flatten)]
    pub(crate) settings: SampleSettings,
    /// What else was said about judge and real images, named as flags are; absent in scores of before this.
    #[serde(default)]
    pub(crate) flags: Table,
    pub(crate) evaluations_per_image: usize,
    /// Wall time of a picture, drawn in batches.
    pub(crate) secs_per_image: f64,
    /// Digest of the real images behind classifier and distances.
    pub(crate) data: String,
    pub(crate) features: String,
    /// Of the classifier, on real images that it did not learn from.
    pub(crate) classifier_accuracy: Accuracy,
    pub(crate) scores: Scores,
    /// Of real images that the classifier did not learn from, at most as many of each pair.
    pub(crate) real: Scores,
}

/// What tells who wrote the file, whatever else changes.
#[derive(Deserialize)]
struct Writer {
    cccm: String,
}

impl Record {
    /// Name of the file.
    pub(crate) const FILE: &'static str = "scores.json";

    /// Writes the file of a folder.
    pub(crate) fn write(&self, folder: &Path) -> Result<()> {
        write_atomically(&folder.join(Self::FILE), &serde_json::to_vec_pretty(self)?)
    }

    /// Reads the file of a folder, which this version must have written: scores of another need not mean the same.
    pub(crate) fn read(folder: &Path) -> Result<Self> {
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
