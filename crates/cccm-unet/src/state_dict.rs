//! The named tensors of a weight file, whatever its form and however its writer wrapped them.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use candle_core::Tensor;
use safetensors::tensor::{Dtype, TensorInfo};

use crate::names::canonical;
use crate::parameters::listed;
use crate::pth::{self, Contents, Entry, PthFile, View};
use crate::raw::RawTensor;
use crate::safetensors_file::SafetensorsFile;
use crate::weights::io;
use crate::{Error, Result};

/// An open weight file. Which form it has is told by its content.
pub(crate) enum WeightFile<R> {
    Pth(PthFile<R>, Contents),
    Safetensors(SafetensorsFile<R>),
}

pub(crate) fn open(path: &Path) -> Result<WeightFile<BufReader<File>>> {
    let file = File::open(path).map_err(|source| io("read", path, source))?;
    WeightFile::open(BufReader::new(file), path)
}

impl<R: Read + Seek> WeightFile<R> {
    /// Reads what the file holds, but no tensor; `path` is its name in errors.
    pub(crate) fn open(mut reader: R, path: &Path) -> Result<Self> {
        let mut start = Vec::new();
        let read = (&mut reader).take(pth::START_LEN).read_to_end(&mut start);
        read.and_then(|_| reader.seek(SeekFrom::Start(0))).map_err(|source| io("read", path, source))?;
        let named_pth = path.extension().is_some_and(|extension| extension == "pth" || extension == "pt");
        if pth::is_pth(&start) || named_pth {
            let (file, contents) = PthFile::open(reader).map_err(|source| pth_error(path, source))?;
            return Ok(Self::Pth(file, contents));
        }
        let broken = |source| Error::Safetensors { path: path.to_owned(), source };
        Ok(Self::Safetensors(SafetensorsFile::open(reader).map_err(broken)?))
    }

    /// Its state dictionary under canonical names.
    ///
    /// # Errors
    /// [`Error::Pth`] when there is none; [`Error::Parameters`] naming every entry that is no floating-point tensor,
    /// and names that are one once prefixes are dropped.
    pub(crate) fn state_dict(self, path: &Path) -> Result<StateDict<R>> {
        let (source, stored): (_, Vec<_>) = match self {
            Self::Pth(file, contents) => {
                let entries = contents.into_state().map_err(|source| pth_error(path, source))?;
                (Source::Pth(file), entries.into_iter().map(|(name, entry)| (name, of_pth(entry))).collect())
            }
            Self::Safetensors(file) => {
                let infos = file.metadata().tensors();
                let stored = infos.into_iter().map(|(name, info)| (name, of_safetensors(info))).collect();
                (Source::Safetensors(file), stored)
            }
        };
        let tensors = checked(stored)
            .map_err(|problems| Error::Parameters { origin: path.display().to_string(), problems })?;
        Ok(StateDict { path: path.to_owned(), source, tensors })
    }
}

/// Named tensors in an open file.
pub(crate) struct StateDict<R> {
    path: PathBuf,
    source: Source<R>,
    tensors: BTreeMap<String, Stored>,
}

enum Source<R> {
    Pth(PthFile<R>),
    Safetensors(SafetensorsFile<R>),
}

struct Stored {
    dtype: Dtype,
    shape: Vec<usize>,
    place: Place,
}

enum Place {
    Pth(Arc<View>),
    Safetensors(TensorInfo),
}

impl<R: Read + Seek> StateDict<R> {
    /// Shape of every tensor.
    pub(crate) fn shapes(&self) -> BTreeMap<String, Vec<usize>> {
        self.tensors.iter().map(|(name, stored)| (name.clone(), stored.shape.clone())).collect()
    }

    /// Every tensor, in the dtype it is stored in.
    pub(crate) fn read(mut self) -> Result<BTreeMap<String, RawTensor>> {
        let mut tensors = BTreeMap::new();
        for (name, Stored { dtype, shape, place }) in self.tensors {
            let bytes = match (&mut self.source, place) {
                (Source::Pth(file), Place::Pth(view)) => {
                    file.read(&view).map_err(|source| pth_error(&self.path, source))?
                }
                (Source::Safetensors(file), Place::Safetensors(info)) => {
                    file.read(&info).map_err(|source| io("read", &self.path, source))?
                }
                // Both come from the same file.
                _ => continue,
            };
            tensors.insert(name, RawTensor { dtype, shape, bytes });
        }
        Ok(tensors)
    }

    /// [`Self::read`] into candle's tensors, on the CPU.
    pub(crate) fn tensors(self) -> Result<BTreeMap<String, Tensor>> {
        let tensors = self.read()?.into_iter();
        tensors.map(|(name, raw)| Ok((name, raw.tensor()?))).collect()
    }
}

pub(crate) fn pth_error(path: &Path, source: pth::PthProblem) -> Error {
    Error::Pth { path: path.to_owned(), source }
}

/// What is stored, or why it cannot be a weight.
type Candidate = Result<Stored, String>;

fn of_pth(entry: Entry) -> Candidate {
    match entry {
        Entry::Tensor(view) => {
            let dtype = view.element.float().ok_or_else(|| view.element.name().to_owned())?;
            Ok(Stored { dtype, shape: view.shape.clone(), place: Place::Pth(view) })
        }
        Entry::Other(kind) => Err(kind.to_owned()),
    }
}

fn of_safetensors(info: &TensorInfo) -> Candidate {
    match info.dtype {
        dtype @ (Dtype::BF16 | Dtype::F16 | Dtype::F32 | Dtype::F64) => {
            Ok(Stored { dtype, shape: info.shape.clone(), place: Place::Safetensors(info.clone()) })
        }
        other => Err(format!("{other:?}")),
    }
}

fn checked(stored: Vec<(String, Candidate)>) -> Result<BTreeMap<String, Stored>, Vec<String>> {
    let (mut tensors, mut unusable, mut doubled) = (BTreeMap::new(), Vec::new(), Vec::new());
    for (name, candidate) in stored {
        match candidate {
            Err(kind) => unusable.push(format!("`{name}` is {kind}")),
            Ok(stored) => {
                let name = canonical(&name);
                if tensors.insert(name.clone(), stored).is_some() {
                    doubled.push(format!("`{name}`"));
                }
            }
        }
    }
    unusable.sort();
    doubled.sort();
    let problems =
        [("no floating-point tensors", unusable), ("there twice, once under another name", doubled)];
    let problems: Vec<_> =
        problems.into_iter().filter_map(|(problem, names)| listed(problem, &names)).collect();
    if problems.is_empty() { Ok(tensors) } else { Err(problems) }
}
