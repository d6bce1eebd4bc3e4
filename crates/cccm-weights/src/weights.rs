//! Weight files: named tensors, as safetensors or as PyTorch files.

use std::collections::BTreeMap;
use std::io::{BufWriter, Cursor, Write};
use std::path::Path;

use candle_core::Tensor;
use cccm_files::Pending;
use safetensors::View;
use safetensors::tensor::{Metadata, TensorInfo};

use crate::state_dict::WeightFile;
use crate::{Error, RawTensor, Result, pth};

/// Every weight of a file, by name, in the dtype it is stored in, on the CPU.
///
/// The file is a safetensors file or a PyTorch checkpoint, zip or legacy, told by its content. Of a checkpoint the
/// state dictionary is read, plain or under `model`, `state_dict` or `model_state_dict`, and not what lies beside it;
/// a prefix `module.`, which `DataParallel` sets before every name, is dropped ([`WeightFile::state_dict`] gives other names).
/// Nothing in a file is executed, and memory is bounded by its size.
///
/// # Errors
/// [`Error::Io`] when the file cannot be read; [`Error::Safetensors`] when it is cut off or neither form;
/// [`Error::Pth`] when a PyTorch file is refused; [`Error::Parameters`] when an entry is no floating-point tensor.
pub fn load_weights(path: &Path) -> Result<BTreeMap<String, Tensor>> {
    WeightFile::open(path)?.state_dict(str::to_owned)?.tensors()
}

/// [`load_weights`] of a file in memory; `path` is its name in errors.
///
/// # Errors
/// As [`load_weights`].
pub fn parse_weights(bytes: &[u8], path: &Path) -> Result<BTreeMap<String, Tensor>> {
    WeightFile::from_reader(Cursor::new(bytes), path)?.state_dict(str::to_owned)?.tensors()
}

/// Writes weights: as a PyTorch file if the name ends in `.pth` or `.pt`, which
/// `torch.load(…, weights_only=True)` reads as a plain state dictionary; else as safetensors without metadata. Equal
/// weights are equal bytes. The file appears whole or not at all.
///
/// # Errors
/// [`Error::Io`] when it cannot be written.
pub fn save_weights(path: &Path, tensors: &BTreeMap<String, Tensor>) -> Result<()> {
    prepare_weights(path, tensors)?.commit().map_err(Error::io("write", path))
}

/// [`save_weights`] without the last step: the file is written and synced beside its place, but not visible
/// there yet. This way, several files can be put at their places together.
///
/// # Errors
/// As [`save_weights`].
pub fn prepare_weights(path: &Path, tensors: &BTreeMap<String, Tensor>) -> Result<Pending> {
    // The tensors as what they show, not as what they store.
    let shown = tensors.iter().map(|(name, tensor)| Ok((name.clone(), tensor.contiguous()?)));
    write_views(path, &shown.collect::<Result<BTreeMap<_, _>>>()?)
}

/// [`prepare_weights`] of tensors as another file had them, in the dtypes they have there.
///
/// # Errors
/// As [`save_weights`].
pub fn prepare_raw_weights(path: &Path, tensors: &BTreeMap<String, RawTensor>) -> Result<Pending> {
    write_views(path, tensors)
}

fn write_views<V>(path: &Path, tensors: &BTreeMap<String, V>) -> Result<Pending>
where
    for<'a> &'a V: View,
{
    let written = Pending::new(path, |file| {
        let mut out = BufWriter::new(file);
        if is_pth_name(path) { pth::write(&mut out, tensors) } else { write_safetensors(&mut out, tensors) }?;
        out.flush()
    });
    written.map_err(Error::io("write", path))
}

/// Like `safetensors::serialize`, but one tensor at a time, since the whole file in memory would double the
/// memory. The function of that crate that writes files is not used: when killed, it leaves a file whose name
/// tells nobody what it is.
fn write_safetensors<V>(out: &mut impl Write, tensors: &BTreeMap<String, V>) -> std::io::Result<()>
where
    for<'a> &'a V: View,
{
    const ALIGNMENT: usize = 8;
    let mut sorted: Vec<(&String, &V)> = tensors.iter().collect();
    // The widest types first, so that each lies aligned; those of a type stay in the order of their names.
    sorted.sort_by_key(|(_, tensor)| std::cmp::Reverse(tensor.dtype()));
    let mut end = 0;
    let info = |(name, tensor): &(&String, &V)| {
        let start = end;
        end += tensor.data_len();
        let info =
            TensorInfo { dtype: tensor.dtype(), shape: tensor.shape().to_vec(), data_offsets: (start, end) };
        ((*name).clone(), info)
    };
    let infos = sorted.iter().map(info).collect();
    let header = Metadata::new(None, infos).map_err(std::io::Error::other)?;
    let mut header = serde_json::to_vec(&header)?;
    header.resize(header.len().next_multiple_of(ALIGNMENT), b' ');
    out.write_all(&(header.len() as u64).to_le_bytes())?;
    out.write_all(&header)?;
    sorted.iter().try_for_each(|(_, tensor)| out.write_all(&tensor.data()))
}

/// Whether a file of this name is a PyTorch file.
fn is_pth_name(path: &Path) -> bool {
    let extension = path.extension().unwrap_or_default();
    ["pth", "pt"].iter().any(|pth| extension.eq_ignore_ascii_case(pth))
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
        let shown: BTreeMap<_, _> =
            weights.iter().map(|(name, tensor)| Ok((name, tensor.contiguous()?))).collect::<Result<_>>()?;
        assert_eq!(bytes, safetensors::serialize(&shown, None)?);
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
