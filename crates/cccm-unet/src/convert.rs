//! Models from files without a config: from elsewhere, into this crate's form and back.

use std::path::Path;

use candle_core::Device;

use crate::{Hints, ModelConfig, ModelFiles, Parameters, PendingModel, Result, state_dict};

/// Reads the network of a PyTorch checkpoint or a safetensors file and writes it as a model: weights in the form that
/// the name of `to.weights` says (see [`crate::save_weights`]) and in the dtypes they have, beside them the config, which is
/// read off the tensors and completed by hints.
///
/// The files appear as those of [`ModelFiles::save`] do.
///
/// # Errors
/// As [`load_checkpoint`]; [`crate::Error::Io`] when a file cannot be written.
pub fn convert(from: &Path, hints: &Hints, to: &ModelFiles) -> Result<ModelConfig> {
    let (config, model) = prepare_conversion(from, hints, to)?;
    model.commit()?;
    Ok(config)
}

/// [`convert`] but for the last step, so that more can be put beside the model.
///
/// # Errors
/// As [`convert`].
pub fn prepare_conversion(
    from: &Path,
    hints: &Hints,
    to: &ModelFiles,
) -> Result<(ModelConfig, PendingModel)> {
    let state = state_dict::open(from)?.state_dict(from)?;
    let config = hints.config(&state.shapes(), &from.display().to_string())?;
    let model = to.prepare_views(&config, &state.read()?)?;
    Ok((config, model))
}

/// The network of a PyTorch checkpoint or a safetensors file, in memory; the config is read off the tensors and
/// completed by hints.
///
/// # Errors
/// [`crate::Error::Io`], [`crate::Error::Pth`] or [`crate::Error::Safetensors`] when the file cannot be read; [`crate::Error::UnknownNetwork`] or
/// [`crate::Error::Parameters`] when its tensors are no network known here; [`crate::Error::NotInTensors`] or
/// [`crate::Error::LabelCounts`] when the hints do not suffice or do not fit.
pub fn load_checkpoint(path: &Path, hints: &Hints, device: &Device) -> Result<(ModelConfig, Parameters)> {
    let state = state_dict::open(path)?.state_dict(path)?;
    let origin = path.display().to_string();
    let config = hints.config(&state.shapes(), &origin)?;
    let parameters =
        Parameters::from_tensors(&config.unet, config.tables()?, state.tensors()?, &origin, device)?;
    Ok((config, parameters))
}
