//! Results computed by PyTorch, read from `tests/fixtures`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use candle_core::{Device, Tensor};
use serde_json::Value;

/// What one script wrote: `NAME.json` for the numbers, `NAME.safetensors` for the tensors.
///
/// Either file may be absent; then there are no tensors, or the JSON is `null`.
#[derive(Debug)]
pub struct Fixture {
    stem: PathBuf,
    json: Value,
    tensors: BTreeMap<String, Tensor>,
}

impl Fixture {
    /// Reads `tests/fixtures/NAME.{json,safetensors}` of this workspace, wherever the test runs; of the folder that
    /// `CCCM_FIXTURES` names, where the test was built on another machine.
    ///
    /// A folder may stand before the name: `seed11/unetic`.
    ///
    /// # Errors
    /// Neither file is there, or one cannot be parsed.
    pub fn load(name: &str) -> Result<Self> {
        Self::load_from(fixtures(), name)
    }

    /// As [`Fixture::load`] from another folder, such as a crate's own `tests/fixtures` or one
    /// that the oracle wrote for a new seed.
    ///
    /// # Errors
    /// As [`Fixture::load`].
    pub fn load_from(dir: impl AsRef<Path>, name: &str) -> Result<Self> {
        let stem = dir.as_ref().join(name);
        let file = |extension: &str| PathBuf::from(format!("{}.{extension}", stem.display()));
        let (json_path, tensors_path) = (file("json"), file("safetensors"));
        if !json_path.is_file() && !tensors_path.is_file() {
            anyhow::bail!("no fixture at {}.{{json,safetensors}}", stem.display());
        }
        let json = if json_path.is_file() { read_json(&json_path)? } else { Value::Null };
        let tensors = if tensors_path.is_file() { read_tensors(&tensors_path)? } else { BTreeMap::new() };
        Ok(Self { stem, json, tensors })
    }

    /// The numbers: the content of `NAME.json`.
    pub fn json(&self) -> &Value {
        &self.json
    }

    /// The tensor `name`, on the CPU in the dtype it was stored with.
    ///
    /// # Errors
    /// There is none of this name; the message lists those there are.
    pub fn tensor(&self, name: &str) -> Result<&Tensor> {
        self.tensors.get(name).with_context(|| {
            let names: Vec<_> = self.tensors.keys().map(String::as_str).collect();
            format!("no tensor `{name}` in {}.safetensors, but {}", self.stem.display(), names.join(", "))
        })
    }

    /// Every tensor, by name.
    pub fn tensors(&self) -> &BTreeMap<String, Tensor> {
        &self.tensors
    }
}

/// The folder of this workspace's fixtures.
pub fn fixtures() -> PathBuf {
    let here = || Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    std::env::var_os("CCCM_FIXTURES").map_or_else(here, PathBuf::from)
}

fn read_json(path: &Path) -> Result<Value> {
    let text = fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("parsing {}", path.display()))
}

fn read_tensors(path: &Path) -> Result<BTreeMap<String, Tensor>> {
    let tensors = candle_core::safetensors::load(path, &Device::Cpu)
        .with_context(|| format!("reading {}", path.display()))?;
    Ok(tensors.into_iter().collect())
}
