//! `search-steps.json`: how timesteps were searched, beside the `config.json` that keeps them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use toml::Table;

use crate::files::write_atomically;

const FILE: &str = "search-steps.json";

/// What a search was asked, beside numbers of steps.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Search {
    pub(crate) guidance_scale: f64,
    pub(crate) samples: u32,
    pub(crate) seed: u64,
    /// What else was said, named as flags are.
    pub(crate) flags: Table,
}

impl Search {
    /// Keeps it for these numbers of steps; those of earlier searches stay.
    /// - `config`: the model's `config.json`
    pub(crate) fn record(&self, config: &Path, steps: &[usize]) -> Result<()> {
        let mut all = Self::read(config)?;
        all.extend(steps.iter().map(|steps| (*steps, self.clone())));
        write_atomically(&beside(config), &serde_json::to_vec_pretty(&all)?)
    }

    /// Searches by numbers of steps; none where nothing was searched.
    /// - `config`: the model's `config.json`
    pub(crate) fn read(config: &Path) -> Result<BTreeMap<usize, Self>> {
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
