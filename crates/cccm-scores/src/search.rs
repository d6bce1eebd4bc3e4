//! `search-steps.json`: how timesteps were searched, beside the `config.json` that keeps them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use cccm_run::write_atomically;
use serde::{Deserialize, Serialize};
use toml::Table;

const FILE: &str = "search-steps.json";

/// What a search was asked, beside numbers of steps.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Search {
    /// How strongly the labels were followed.
    pub guidance_scale: f64,
    /// Pictures of each combination for one try.
    pub samples: u32,
    /// Of the noise.
    pub seed: u64,
    /// What else was said, named as flags are.
    pub flags: Table,
    /// What it found; not in files from before this was there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timesteps: Option<Vec<u32>>,
}

impl Search {
    /// Keeps it for this number of steps; those of earlier searches stay.
    /// - `config`: the model's `config.json`
    ///
    /// # Errors
    /// Those of the file system, with the path.
    pub fn record(&self, config: &Path, steps: usize) -> Result<()> {
        let mut all = Self::read(config)?;
        all.insert(steps, self.clone());
        write_atomically(&beside(config), &serde_json::to_vec_pretty(&all)?)
    }

    /// Whether the search found these timesteps: the config may have been replaced since. Always true for old
    /// files, which do not tell.
    pub fn is_of(&self, timesteps: &[u32]) -> bool {
        self.timesteps.as_ref().is_none_or(|found| found == timesteps)
    }

    /// Searches by numbers of steps; none where nothing was searched.
    /// - `config`: the model's `config.json`
    ///
    /// # Errors
    /// When the file is there and cannot be read.
    pub fn read(config: &Path) -> Result<BTreeMap<usize, Self>> {
        let path = beside(config);
        if !path.is_file() {
            return Ok(BTreeMap::new());
        }
        let read = || -> Result<_> { Ok(serde_json::from_slice(&std::fs::read(&path)?)?) };
        read().with_context(|| format!("cannot read {}", path.display()))
    }
}

fn beside(config: &Path) -> PathBuf {
    config.with_file_name(FILE)
}
