//! A classifier as bytes: safetensors with its configuration in the header.

use std::collections::{BTreeMap, HashMap};

use candle_core::{DType, Device, Tensor, Var};
use safetensors::SafeTensors;

use super::{Classifier, ClassifierConfig};
use crate::{Error, Result};

/// Key of the header under which the configuration stands.
const CONFIG: &str = "config";

impl Classifier {
    /// The classifier as a safetensors file, its configuration as JSON in the header.
    ///
    /// # Errors
    /// [`Error::File`] when it cannot be serialized.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        self.to_bytes_with(HashMap::new())
    }

    /// The same with more entries in the header, which [`Self::from_bytes`] leaves alone: such as what it was trained on.
    ///
    /// # Errors
    /// As [`Self::to_bytes`].
    pub fn to_bytes_with(&self, mut header: HashMap<String, String>) -> Result<Vec<u8>> {
        let config = serde_json::to_string(&self.config).map_err(|error| Error::File(error.to_string()))?;
        let tensors: BTreeMap<_, _> =
            self.vars.iter().map(|(name, var)| (name.as_str(), var.as_detached_tensor())).collect();
        header.insert(CONFIG.to_owned(), config);
        safetensors::serialize(tensors, Some(header)).map_err(|error| Error::File(error.to_string()))
    }

    /// Reads what [`Self::to_bytes`] wrote.
    ///
    /// # Errors
    /// [`Error::File`] when it is something else: says what is missing or wrong.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let bad = |reason: String| Error::File(reason);
        let (_, header) = SafeTensors::read_metadata(bytes).map_err(|error| bad(error.to_string()))?;
        let config = header.metadata().as_ref().and_then(|entries| entries.get(CONFIG));
        let config = config.ok_or_else(|| bad("its header has no `config`".to_owned()))?;
        let config: ClassifierConfig =
            serde_json::from_str(config).map_err(|error| bad(format!("its config: {error}")))?;
        config.validate()?;
        let mut found = candle_core::safetensors::load_buffer(bytes, &Device::Cpu)?;
        let take = |(name, shape): (String, Vec<usize>)| -> Result<(String, Var)> {
            let tensor = found.remove(&name).ok_or_else(|| bad(format!("it has no tensor `{name}`")))?;
            if tensor.dims() != shape || tensor.dtype() != DType::F32 {
                let got = format!("{} {:?}", tensor.dtype().as_str(), tensor.dims());
                return Err(bad(format!("`{name}` is {got}, but must be f32 {shape:?}")));
            }
            Ok((name, Var::from_tensor(&tensor)?))
        };
        let vars = config.parameters().into_iter().map(take).collect::<Result<_>>()?;
        Ok(Self { config, vars })
    }

    /// The parameters, by name, sharing the classifier's storage.
    pub fn tensors(&self) -> BTreeMap<String, Tensor> {
        self.vars.iter().map(|(name, var)| (name.clone(), var.as_detached_tensor())).collect()
    }
}
