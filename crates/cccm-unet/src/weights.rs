//! Weight files: named tensors, as safetensors or as PyTorch files.

use std::collections::BTreeMap;
use std::io::{BufWriter, Cursor, Write};
use std::path::Path;

use candle_core::Tensor;
use cccm_files::Pending;
use safetensors::View;

use crate::state_dict::{self, WeightFile};
use crate::{Error, Result, pth};

/// Every weight of a file, by canonical name, in the dtype it is stored in, on the CPU.
///
/// The file is a safetensors file or a PyTorch checkpoint, zip or legacy, told by its content. Of a checkpoint the
/// state dictionary is read, plain or under `model`, `state_dict` or `model_state_dict`, and not what lies beside it;
/// a prefix `module.` is dropped, and the time embedding's older names are replaced. Nothing in a file is executed, and
/// memory is bounded by its size.
///
/// # Errors
/// [`Error::Io`] when the file cannot be read; [`Error::Safetensors`] when it is cut off or neither form;
/// [`Error::Pth`] when a PyTorch file is refused; [`Error::Parameters`] when an entry is no floating-point tensor.
pub fn load_weights(path: &Path) -> Result<BTreeMap<String, Tensor>> {
    state_dict::open(path)?.state_dict(path)?.tensors()
}

/// [`load_weights`] of a file in memory; `path` is its name in errors.
///
/// # Errors
/// As [`load_weights`].
pub fn parse_weights(bytes: &[u8], path: &Path) -> Result<BTreeMap<String, Tensor>> {
    WeightFile::open(Cursor::new(bytes), path)?.state_dict(path)?.tensors()
}

/// Writes weights: as a PyTorch file if the name ends in `.pth` or `.pt`, which
/// `torch.load(…, weights_only=True)` reads as a plain state dictionary; else as safetensors without metadata. Equal
/// weights are equal bytes. The file appears whole or not at all.
///
/// # Errors
/// [`Error::Io`] when it cannot be written.
pub fn save_weights(path: &Path, tensors: &BTreeMap<String, Tensor>) -> Result<()> {
    pending_views(path, &views_of(tensors)?)?.commit().map_err(|source| io("write", path, source))
}

/// The tensors as what they show, not as what they store.
pub(crate) fn views_of(tensors: &BTreeMap<String, Tensor>) -> Result<BTreeMap<String, Tensor>> {
    tensors.iter().map(|(name, tensor)| Ok((name.clone(), tensor.contiguous()?))).collect()
}

/// [`save_weights`] of whatever has values, but for the last step.
pub(crate) fn pending_views<V>(path: &Path, tensors: &BTreeMap<String, V>) -> Result<Pending>
where
    for<'a> &'a V: View,
{
    let written = if is_pth_name(path) {
        Pending::new(path, |file| {
            let mut out = BufWriter::new(file);
            pth::write(&mut out, tensors)?;
            out.flush()
        })
    } else {
        // A tensor at a time: the whole would double the memory.
        Pending::by_name(path, |partial| {
            safetensors::serialize_to_file(tensors, None, partial).map_err(|error| match error {
                safetensors::SafeTensorError::IoError(error) => error,
                other => std::io::Error::other(other),
            })
        })
    };
    written.map_err(|source| io("write", path, source))
}

/// Whether a file of this name is a PyTorch file.
pub(crate) fn is_pth_name(path: &Path) -> bool {
    let extension = path.extension().unwrap_or_default();
    ["pth", "pt"].iter().any(|pth| extension.eq_ignore_ascii_case(pth))
}

pub(crate) fn io(action: &'static str, path: &Path, source: std::io::Error) -> Error {
    Error::Io { action, path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{DType, Device};

    #[test]
    fn equal_weights_are_equal_bytes_and_a_cut_off_file_is_refused() -> anyhow::Result<()> {
        let dir = tempfile::tempdir()?;
        let (a, b) = (dir.path().join("a.safetensors"), dir.path().join("b.safetensors"));
        let tensor = Tensor::arange(0f32, 6.0, &Device::Cpu)?.reshape((2, 3))?;
        // A transposed view must be written as what it shows, not as what it stores.
        let weights: BTreeMap<_, _> = [
            ("x".to_owned(), tensor.clone()),
            ("t".to_owned(), tensor.t()?),
            ("h".into(), tensor.to_dtype(DType::F16)?),
        ]
        .into();
        save_weights(&a, &weights)?;
        save_weights(&b, &load_weights(&a)?)?;
        let bytes = std::fs::read(&a)?;
        assert_eq!(bytes, std::fs::read(&b)?);
        assert_eq!(load_weights(&b)?["t"].to_vec2::<f32>()?, tensor.t()?.to_vec2::<f32>()?);
        for cut in [0, 5, bytes.len() / 2, bytes.len() - 1] {
            std::fs::write(&b, &bytes[..cut])?;
            let error = load_weights(&b).unwrap_err();
            assert!(
                matches!(error, Error::Safetensors { .. }) && error.to_string().contains("b.safetensors")
            );
        }
        Ok(())
    }
    #[test]
    #[cfg(unix)]
    fn a_file_is_as_readable_as_any_other() -> anyhow::Result<()> {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir()?;
        let plain = dir.path().join("plain");
        std::fs::write(&plain, "")?;
        let weights = BTreeMap::from([("x".to_owned(), Tensor::zeros(2, DType::F32, &Device::Cpu)?)]);
        for name in ["a.safetensors", "a.pth"] {
            let path = dir.path().join(name);
            save_weights(&path, &weights)?;
            let mode = |path: &Path| std::fs::metadata(path).map(|metadata| metadata.permissions().mode());
            assert_eq!(mode(&path)?, mode(&plain)?, "{name}");
        }
        Ok(())
    }
}
