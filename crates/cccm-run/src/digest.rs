//! Digests of what a run is made from.

use anyhow::Result;
use cccm_unet::{ModelConfig, Parameters};
use sha2::{Digest, Sha256};

/// SHA-256 in hex of a model: its config and its weights, in whatever kind of file they were.
///
/// # Errors
/// When the weights cannot be read from their device.
pub fn of_model(config: &ModelConfig, parameters: &Parameters) -> Result<String> {
    let mut hasher = Sha256::new();
    hasher.update(config.to_json()?);
    for (name, tensor) in parameters.tensors() {
        hasher.update(format!("\0{name} {:?}\0", tensor.dims()));
        for value in tensor.flatten_all()?.to_vec1::<f32>()? {
            hasher.update(value.to_le_bytes());
        }
    }
    Ok(hex::encode(hasher.finalize()))
}
