//! A classifier as bytes: safetensors with its configuration in the header, and a digest of all else.

use std::collections::{BTreeMap, HashMap};

use candle_core::{DType, Device, Tensor};
use cccm_files::sha256;
use cccm_weights::Parameters;
use safetensors::SafeTensors;

use super::{Classifier, ClassifierConfig, specs};
use crate::{Error, Result};

/// Key of the header under which the configuration stands.
const CONFIG: &str = "config";

impl Classifier {
    /// Key of the header under which the digest stands, SHA-256 in hex of every tensor and of all other
    /// entries. Older files have no digest.
    pub const DIGEST: &str = "sha256";

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
        header.insert(CONFIG.to_owned(), config);
        let tensors = self.tensors();
        header.remove(Self::DIGEST);
        let bytes = |header: &HashMap<String, String>| {
            let bytes = safetensors::serialize(&tensors, Some(header.clone()));
            with_sorted_header(&bytes.map_err(|error| Error::File(error.to_string()))?)
        };
        let digest = digest_of(&bytes(&header)?)?;
        header.insert(Self::DIGEST.to_owned(), digest);
        bytes(&header)
    }

    /// Reads what [`Self::to_bytes`] wrote.
    ///
    /// # Errors
    /// [`Error::File`], which says what is missing or wrong: when the file is not a classifier, does not
    /// match its digest, or has weights that no training leaves (not finite, or all zeros).
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let bad = |reason: String| Error::File(reason);
        let (_, header) = SafeTensors::read_metadata(bytes).map_err(|error| bad(error.to_string()))?;
        let entry = |key: &str| header.metadata().as_ref().and_then(|entries| entries.get(key));
        if let Some(want) = entry(Self::DIGEST)
            && digest_of(bytes)? != *want
        {
            return Err(bad("it is damaged: its digest is another".to_owned()));
        }
        let config = entry(CONFIG);
        let config = config.ok_or_else(|| bad("its header has no `config`".to_owned()))?;
        let config: ClassifierConfig =
            serde_json::from_str(config).map_err(|error| bad(format!("its config: {error}")))?;
        config.validate()?;
        let mut found = candle_core::safetensors::load_buffer(bytes, &Device::Cpu)?;
        let specs = specs(&config)?;
        let mut tensors = BTreeMap::new();
        for (name, spec) in &specs {
            let tensor = found.remove(name).ok_or_else(|| bad(format!("it has no tensor `{name}`")))?;
            if tensor.dims() != spec.shape || tensor.dtype() != DType::F32 {
                let got = format!("{} {:?}", tensor.dtype().as_str(), tensor.dims());
                return Err(bad(format!("`{name}` is {got}, but must be f32 {:?}", spec.shape)));
            }
            check_values(name, &tensor)?;
            tensors.insert(name.clone(), tensor);
        }
        Self::over(config, Parameters::from_tensors(&specs, tensors, "a classifier", &Device::Cpu)?)
    }

    /// The parameters, by name, sharing the classifier's storage.
    pub fn tensors(&self) -> BTreeMap<String, Tensor> {
        self.parameters.tensors()
    }
}

/// The same file with the keys of its header sorted. safetensors writes metadata in another order in every
/// process.
fn with_sorted_header(bytes: &[u8]) -> Result<Vec<u8>> {
    const LEN: usize = size_of::<u64>();
    /// Of the first tensor in the file.
    const ALIGNMENT: usize = 8;
    let bad = |error: &dyn ToString| Error::File(error.to_string());
    let (len, _) = SafeTensors::read_metadata(bytes).map_err(|error| bad(&error))?;
    let (header, data) = bytes[LEN..].split_at(len);
    let header: serde_json::Value = serde_json::from_slice(header).map_err(|error| bad(&error))?;
    let mut header = serde_json::to_vec(&header).map_err(|error| bad(&error))?;
    header.resize(header.len().next_multiple_of(ALIGNMENT), b' ');
    Ok([&(header.len() as u64).to_le_bytes(), &header[..], data].concat())
}

/// Refuses values that no training leaves.
fn check_values(name: &str, tensor: &Tensor) -> Result<()> {
    let values = tensor.flatten_all()?.to_vec1::<f32>()?;
    if !values.iter().all(|value| value.is_finite()) {
        return Err(Error::File(format!("`{name}` holds values that are not finite")));
    }
    // Biases start at zero.
    if name.ends_with(".weight") && values.iter().all(|value| *value == 0.0) {
        return Err(Error::File(format!("`{name}` is all zeros")));
    }
    Ok(())
}

/// SHA-256 in hex of a file's tensors and of the entries of its header, whatever their order; its own is left out.
fn digest_of(bytes: &[u8]) -> Result<String> {
    let bad = |error: safetensors::SafeTensorError| Error::File(error.to_string());
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(bad)?;
    let entries: BTreeMap<_, _> = header.metadata().iter().flatten().collect();
    let entries = entries.into_iter().filter(|(key, _)| *key != Classifier::DIGEST);
    let mut lines: Vec<String> = entries.map(|(key, value)| format!("{key:?}: {value:?}\n")).collect();
    let file = SafeTensors::deserialize(bytes).map_err(bad)?;
    let tensors: BTreeMap<_, _> = file.iter().collect();
    let line = |(name, tensor): (&str, safetensors::tensor::TensorView<'_>)| {
        format!("{name:?} {:?} {:?} {}\n", tensor.dtype(), tensor.shape(), sha256(tensor.data()))
    };
    lines.extend(tensors.into_iter().map(line));
    Ok(sha256(lines.concat().as_bytes()))
}
