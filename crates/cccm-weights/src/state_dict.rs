//! The named tensors of a weight file, whatever its form and however its writer wrapped them.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use candle_core::Tensor;
use safetensors::tensor::{Dtype, TensorInfo};

use crate::problems::listed;
use crate::pth::{self, Contents, Entry, PthFile, View};
use crate::safetensors_file::SafetensorsFile;
use crate::{Error, RawTensor, Result};

/// An open weight file, safetensors or PyTorch, which its content tells.
#[derive(Debug)]
pub struct WeightFile<R> {
    pub(crate) form: Form<R>,
    path: PathBuf,
}

#[derive(Debug)]
pub(crate) enum Form<R> {
    Pth(PthFile<R>, Contents),
    Safetensors(SafetensorsFile<R>),
}

impl WeightFile<BufReader<File>> {
    /// Reads what the file holds, but no tensor.
    ///
    /// # Errors
    /// [`Error::Io`] when the file cannot be read; [`Error::Safetensors`] when it is cut off or neither form;
    /// [`Error::Pth`] when a PyTorch file is refused.
    pub fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(Error::io("read", path))?;
        Self::from_reader(BufReader::new(file), path)
    }
}

impl<R: Read + Seek> WeightFile<R> {
    /// [`WeightFile::open`] of a file that is open already; `path` is its name in errors. The reader should be buffered.
    ///
    /// # Errors
    /// As [`WeightFile::open`].
    pub fn from_reader(mut reader: R, path: &Path) -> Result<Self> {
        let mut start = Vec::new();
        let read = (&mut reader).take(pth::START_LEN).read_to_end(&mut start);
        read.and_then(|_| reader.seek(SeekFrom::Start(0))).map_err(Error::io("read", path))?;
        let named_pth = path.extension().is_some_and(|extension| extension == "pth" || extension == "pt");
        let form = if pth::is_pth(&start) || named_pth {
            let (file, contents) = PthFile::open(reader).map_err(Error::pth(path))?;
            Form::Pth(file, contents)
        } else {
            let broken = |source| Error::Safetensors { path: path.to_owned(), source };
            Form::Safetensors(SafetensorsFile::open(reader).map_err(broken)?)
        };
        Ok(Self { form, path: path.to_owned() })
    }

    /// Its state dictionary. No values are read yet.
    /// - `rename`: the name of a tensor from what the file calls it, without the prefix `module.` that `DataParallel` sets
    ///   before every name; `str::to_owned` where names are as they should be
    ///
    /// # Errors
    /// [`Error::Pth`] when there is none; [`Error::Parameters`] naming every entry that is no floating-point tensor,
    /// and names that are one once they are replaced.
    pub fn state_dict(self, rename: impl Fn(&str) -> String) -> Result<StateDict<R>> {
        let path = self.path;
        let (source, stored): (_, Vec<_>) = match self.form {
            Form::Pth(file, contents) => {
                let entries = contents.into_state().map_err(Error::pth(&path))?;
                (Source::Pth(file), entries.into_iter().map(|(name, entry)| (name, of_pth(entry))).collect())
            }
            Form::Safetensors(file) => {
                let infos = file.metadata().tensors();
                let stored = infos.into_iter().map(|(name, info)| (name, of_safetensors(info))).collect();
                (Source::Safetensors(file), stored)
            }
        };
        let tensors = checked(stored, rename)
            .map_err(|problems| Error::Parameters { origin: path.display().to_string(), problems })?;
        Ok(StateDict { path, source, tensors })
    }
}

/// Named tensors in an open file, whose values are read at the end.
#[derive(Debug)]
pub struct StateDict<R> {
    path: PathBuf,
    source: Source<R>,
    tensors: BTreeMap<String, Stored>,
}

#[derive(Debug)]
enum Source<R> {
    Pth(PthFile<R>),
    Safetensors(SafetensorsFile<R>),
}

#[derive(Debug)]
struct Stored {
    dtype: Dtype,
    shape: Vec<usize>,
    place: Place,
}

#[derive(Debug)]
enum Place {
    Pth(Arc<View>),
    Safetensors(TensorInfo),
}

impl<R: Read + Seek> StateDict<R> {
    /// Shape of every tensor.
    pub fn shapes(&self) -> BTreeMap<String, Vec<usize>> {
        self.tensors.iter().map(|(name, stored)| (name.clone(), stored.shape.clone())).collect()
    }

    /// Every tensor, in the dtype it is stored in.
    ///
    /// # Errors
    /// [`Error::Pth`] or [`Error::Io`] for the first that cannot be read.
    pub fn read(mut self) -> Result<BTreeMap<String, RawTensor>> {
        let mut tensors = BTreeMap::new();
        for (name, Stored { dtype, shape, place }) in self.tensors {
            let bytes = match (&mut self.source, place) {
                (Source::Pth(file), Place::Pth(view)) => file.read(&view).map_err(Error::pth(&self.path))?,
                (Source::Safetensors(file), Place::Safetensors(info)) => {
                    file.read(&info).map_err(Error::io("read", &self.path))?
                }
                // Both come from the same file.
                _ => continue,
            };
            tensors.insert(name, RawTensor { dtype, shape, bytes });
        }
        Ok(tensors)
    }

    /// [`Self::read`] into candle's tensors, on the CPU.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn tensors(self) -> Result<BTreeMap<String, Tensor>> {
        let tensors = self.read()?.into_iter();
        tensors.map(|(name, raw)| Ok((name, raw.tensor()?))).collect()
    }
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

fn checked(
    stored: Vec<(String, Candidate)>,
    rename: impl Fn(&str) -> String,
) -> Result<BTreeMap<String, Stored>, Vec<String>> {
    let (mut tensors, mut unusable, mut doubled) = (BTreeMap::new(), Vec::new(), Vec::new());
    for (name, candidate) in stored {
        match candidate {
            Err(kind) => unusable.push(format!("`{name}` is {kind}")),
            Ok(stored) => {
                let name = rename(name.strip_prefix("module.").unwrap_or(&name));
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
