//! Weight files: safetensors under the published names.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use candle_core::safetensors::Load;
use candle_core::{Device, Tensor};
use safetensors::SafeTensors;

use crate::{Error, Result};

/// Every tensor of a safetensors file, by name, in the dtype it is stored in, on the CPU.
///
/// # Errors
/// [`Error::Io`] when the file cannot be read; [`Error::Safetensors`] when it is cut off or no safetensors file.
pub fn load_weights(path: &Path) -> Result<BTreeMap<String, Tensor>> {
    let bytes = std::fs::read(path).map_err(|source| io("read", path, source))?;
    parse_weights(&bytes, path)
}

/// [`load_weights`] of a file in memory; `path` is its name in errors.
pub(crate) fn parse_weights(bytes: &[u8], path: &Path) -> Result<BTreeMap<String, Tensor>> {
    let broken = |source| Error::Safetensors { path: path.to_owned(), source };
    let file = SafeTensors::deserialize(bytes).map_err(broken)?;
    let tensors = file.iter().map(|(name, view)| Ok((name.to_owned(), view.load(&Device::Cpu)?)));
    tensors.collect()
}

/// Writes tensors as safetensors without metadata, so that equal weights are equal bytes. The file appears whole or
/// not at all.
///
/// # Errors
/// [`Error::Io`] when it cannot be written.
pub fn save_weights(path: &Path, tensors: &BTreeMap<String, Tensor>) -> Result<()> {
    let tensors = tensors.iter().map(|(name, tensor)| Ok((name, tensor.contiguous()?)));
    let tensors = tensors.collect::<Result<Vec<_>>>()?;
    let broken = |source| Error::Safetensors { path: path.to_owned(), source };
    let bytes = safetensors::serialize(tensors, None).map_err(broken)?;
    write_atomically(path, &bytes)
}

/// Writes beside the place, syncs, renames.
pub(crate) fn write_atomically(path: &Path, bytes: &[u8]) -> Result<()> {
    let write = || -> std::io::Result<()> {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let mut builder = tempfile::Builder::new();
        // Temporary files are private, but this one becomes a result: as readable as the umask allows.
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
        let mut file = builder.tempfile_in(folder.unwrap_or(Path::new(".")))?;
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        file.persist(path)?;
        Ok(())
    };
    write().map_err(|source| io("write", path, source))
}

pub(crate) fn io(action: &'static str, path: &Path, source: std::io::Error) -> Error {
    Error::Io { action, path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::DType;

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
}
