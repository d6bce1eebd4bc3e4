//! Conversion of weight files without a config, such as those of PyTorch, into models and back.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use candle_core::Device;
use cccm_weights::{Parameters, StateDict, WeightFile, prepare_raw_weights};

use crate::names::{WRAPPERS, canonical};
use crate::{Hints, ModelConfig, ModelFiles, PendingModel, Result, UNet};

/// Reads the network of a PyTorch checkpoint or a safetensors file and writes it as a model: weights in the form that
/// the name of `to.weights` says (see [`cccm_weights::save_weights`]) and in the dtypes they have, beside them the config, which is
/// read off the tensors and completed by hints.
///
/// The files appear as those of [`ModelFiles::save`] do.
///
/// # Errors
/// As [`load_checkpoint`]; [`crate::Error::Io`] or [`crate::Error::Weights`] when a file cannot be written.
pub fn convert(from: &Path, hints: &Hints, to: &ModelFiles) -> Result<ModelConfig> {
    let (config, model) = prepare_conversion(from, hints, to)?;
    model.commit()?;
    Ok(config)
}

/// [`convert`] without the final renames, so that more files can be added to the model.
///
/// # Errors
/// As [`convert`].
pub fn prepare_conversion(
    from: &Path,
    hints: &Hints,
    to: &ModelFiles,
) -> Result<(ModelConfig, PendingModel)> {
    let state = open(from, hints)?;
    let config = hints.config(&state.shapes(), &from.display().to_string())?;
    let model = to.prepare_with(&config, prepare_raw_weights(&to.weights, &state.read()?)?)?;
    Ok((config, model))
}

/// The network's tensors, under their names here.
fn open(path: &Path, hints: &Hints) -> Result<StateDict<BufReader<File>>> {
    let file = WeightFile::open(path)?.keyed(hints.key.as_deref()).unwrapping(&WRAPPERS);
    Ok(file.state_dict(canonical)?)
}

/// The network of a PyTorch checkpoint or a safetensors file, in memory; the config is read off the tensors and
/// completed by hints.
///
/// # Errors
/// [`crate::Error::Weights`] when the file cannot be read; that or [`crate::Error::UnknownNetwork`] when its tensors are no
/// network known here; [`crate::Error::NotInTensors`] or [`crate::Error::LabelCounts`] when the hints do not suffice or do not
/// fit.
pub fn load_checkpoint(path: &Path, hints: &Hints, device: &Device) -> Result<(ModelConfig, Parameters)> {
    let state = open(path, hints)?;
    let config = hints.config(&state.shapes(), &path.display().to_string())?;
    let specs = UNet::specs(&config.unet, config.tables()?)?;
    let parameters = Parameters::read(&specs, state, device)?;
    Ok((config, parameters))
}
