//! The named tensors of a weight file, whatever its form and however its writer wrapped them.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use candle_core::{DType, Device, Tensor, Var};
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
    key: Option<String>,
    wrappers: &'static [&'static str],
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
        let kind = path.metadata().map_err(Error::io("read", path))?.file_type();
        let other = |what| Error::NotWeights { path: path.to_owned(), what };
        if kind.is_dir() {
            return Err(other(what_folder(path)));
        }
        if !kind.is_file() {
            // A pipe would be waited for, and cannot be read but in order.
            return Err(other("no regular file"));
        }
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
        let read = (&mut reader).take(START_LEN.max(pth::START_LEN)).read_to_end(&mut start);
        read.and_then(|_| reader.seek(SeekFrom::Start(0))).map_err(Error::io("read", path))?;
        if let Some(what) = other_kind(&start) {
            return Err(Error::NotWeights { path: path.to_owned(), what });
        }
        let named_pth = path.extension().is_some_and(|extension| extension == "pth" || extension == "pt");
        let form = if pth::is_pth(&start) || named_pth {
            let (file, contents) = PthFile::open(reader).map_err(Error::pth(path))?;
            Form::Pth(file, contents)
        } else {
            let broken = |source| Error::Safetensors { path: path.to_owned(), source };
            Form::Safetensors(SafetensorsFile::open(reader).map_err(broken)?)
        };
        Ok(Self { form, path: path.to_owned(), key: None, wrappers: &[] })
    }

    /// The same, of which one network is meant.
    /// - `key`: where its state dictionary lies in a checkpoint; or what its names begin with, where one dictionary holds
    ///   several networks, as Lightning's do; `None` where there is but one
    #[must_use]
    pub fn keyed(self, key: Option<&str>) -> Self {
        Self { key: key.map(ToOwned::to_owned), ..self }
    }

    /// The same, whose names may all begin with one of these words and a dot: they are attributes of what the network was part of,
    /// and dropped.
    #[must_use]
    pub fn unwrapping(self, wrappers: &'static [&'static str]) -> Self {
        Self { wrappers, ..self }
    }

    /// Its state dictionary. No values are read yet.
    /// - `rename`: the name of a tensor from what the file calls it, without what wrappers of PyTorch put into it: `module.`, which
    ///   `DataParallel` sets before every name, and `_orig_mod.` of `torch.compile`; `str::to_owned` where names are as they should be
    ///
    /// # Errors
    /// [`Error::Pth`] when there is none, or several and no key; [`Error::NoKey`] when nothing has this key; [`Error::Parameters`] naming every entry that is no floating-point tensor,
    /// and names that become equal when they are replaced.
    pub fn state_dict(self, rename: impl Fn(&str) -> String) -> Result<StateDict<R>> {
        let Self { form, path, key, wrappers } = self;
        let mut prefix = key.clone();
        let (source, stored): (_, Vec<_>) = match form {
            Form::Pth(file, contents) => {
                let found = contents.into_state(key.as_deref()).map_err(Error::pth(&path))?;
                let entries = found.entries;
                prefix = found.prefix;
                (Source::Pth(file), entries.into_iter().map(|(name, entry)| (name, of_pth(entry))).collect())
            }
            Form::Safetensors(file) => {
                let infos = file.metadata().tensors();
                let stored = infos.into_iter().map(|(name, info)| (name, of_safetensors(info))).collect();
                (Source::Safetensors(file), stored)
            }
        };
        let stored = match prefix {
            Some(prefix) => below(stored, &prefix)
                .ok_or_else(|| Error::NoKey { path: path.clone(), key: prefix.clone() })?,
            None => stored,
        };
        let tensors = checked(unwrapped(stored, wrappers), rename)
            .map_err(|problems| Error::Parameters { origin: path.display().to_string(), problems })?;
        Ok(StateDict { path, source, tensors })
    }
}

/// Bytes at the beginning that tell what else a file may be.
const START_LEN: u64 = 256;

/// What a file is that often lies where a weight file should, by how it begins.
fn other_kind(start: &[u8]) -> Option<&'static str> {
    let text = String::from_utf8_lossy(start).trim_start().to_ascii_lowercase();
    if text.starts_with("version https://git-lfs") {
        Some("a pointer of Git LFS to a file that was not downloaded: run `git lfs pull` where it is from")
    } else if text.starts_with("<!doctype html") || text.starts_with("<html") {
        Some("a web page, as a download gives whose address shows the file instead of being it")
    } else {
        None
    }
}

fn what_folder(folder: &Path) -> &'static str {
    let has = |name: &str| folder.join(name).is_file();
    if has("model_index.json") || has("diffusion_pytorch_model.safetensors") || has("unet/config.json") {
        "a folder of the diffusers library, whose networks are built otherwise than those here"
    } else {
        "a folder"
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

impl<R: Read + Seek> Source<R> {
    fn read(&mut self, place: &Place, path: &Path) -> Result<Vec<u8>> {
        match (self, place) {
            (Self::Pth(file), Place::Pth(view)) => file.read(view).map_err(Error::pth(path)),
            (Self::Safetensors(file), Place::Safetensors(info)) => {
                file.read(info).map_err(Error::io("read", path))
            }
            // Impossible: source and place come from the same file.
            _ => Ok(Vec::new()),
        }
    }
}

impl Stored {
    /// Where it begins, as far as that is known.
    fn start(&self) -> usize {
        match &self.place {
            Place::Safetensors(info) => info.data_offsets.0,
            Place::Pth(_) => 0,
        }
    }
}

impl<R: Read + Seek> StateDict<R> {
    /// Shape of every tensor.
    pub fn shapes(&self) -> BTreeMap<String, Vec<usize>> {
        self.tensors.iter().map(|(name, stored)| (name.clone(), stored.shape.clone())).collect()
    }

    /// What to call it in messages.
    pub(crate) fn origin(&self) -> String {
        self.path.display().to_string()
    }

    /// Every tensor as a variable, `f32`. Each is read into the memory that it stays in.
    pub(crate) fn vars(mut self, device: &Device) -> Result<BTreeMap<String, Var>> {
        let mut stored: Vec<_> = std::mem::take(&mut self.tensors).into_iter().collect();
        // In the order of the file: a disk reads on faster than it goes back and forth.
        stored.sort_by_key(|(_, stored)| stored.start());
        let mut vars = BTreeMap::new();
        for (name, stored) in stored {
            let values = self.values(&stored)?;
            if !values.iter().all(|value| value.is_finite()) {
                return Err(Error::NotFinite { origin: self.origin(), name });
            }
            vars.insert(name, Var::from_vec(values, stored.shape, device)?);
        }
        Ok(vars)
    }

    fn values(&mut self, stored: &Stored) -> Result<Vec<f32>> {
        match (&mut self.source, &stored.place) {
            (Source::Safetensors(file), Place::Safetensors(info)) if stored.dtype == Dtype::F32 => {
                file.read_f32(info).map_err(Error::io("read", &self.path))
            }
            (source, place) => {
                let (dtype, shape) = (stored.dtype, stored.shape.clone());
                let bytes = source.read(place, &self.path)?;
                let tensor = RawTensor { dtype, shape, bytes }.tensor()?;
                Ok(tensor.flatten_all()?.to_dtype(DType::F32)?.to_vec1()?)
            }
        }
    }

    /// Every tensor, in the dtype it is stored in.
    ///
    /// # Errors
    /// [`Error::Pth`] or [`Error::Io`] for the first that cannot be read.
    pub fn read(mut self) -> Result<BTreeMap<String, RawTensor>> {
        let mut tensors = BTreeMap::new();
        for (name, Stored { dtype, shape, place }) in self.tensors {
            let bytes = self.source.read(&place, &self.path)?;
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

/// What has a name below a prefix, without it; `None` for nothing.
fn below(stored: Vec<(String, Candidate)>, prefix: &str) -> Option<Vec<(String, Candidate)>> {
    let prefix = format!("{prefix}.");
    let below = stored.into_iter();
    let below: Vec<_> = below
        .filter_map(|(name, candidate)| Some((plain(&name).strip_prefix(&prefix)?.to_owned(), candidate)))
        .collect();
    (!below.is_empty()).then_some(below)
}

/// The same without what wrappers put before all names.
fn unwrapped(stored: Vec<(String, Candidate)>, wrappers: &[&str]) -> Vec<(String, Candidate)> {
    let mut stored: Vec<_> = stored.into_iter().map(|(name, candidate)| (plain(&name), candidate)).collect();
    let common = |stored: &[(String, Candidate)]| {
        let first = stored.first()?.0.split_once('.')?.0.to_owned();
        let prefix = format!("{first}.");
        let is_common = stored.iter().all(|(name, _)| name.starts_with(&prefix));
        (is_common && wrappers.contains(&first.as_str())).then_some(prefix.len())
    };
    while let Some(len) = common(&stored) {
        for (name, _) in &mut stored {
            name.drain(..len);
        }
    }
    stored
}

/// A name without what PyTorch's own wrappers put into it.
fn plain(name: &str) -> String {
    name.strip_prefix("module.").unwrap_or(name).replace("_orig_mod.", "")
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
                let name = rename(&name);
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
