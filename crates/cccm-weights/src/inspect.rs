//! What a weight file holds, without reading its weights.

use std::collections::BTreeMap;
use std::path::Path;

use crate::pth::{Contents, Entry, Part, PthProblem};
use crate::state_dict::{Form, WeightFile};
use crate::{Error, Result};

/// What a weight file holds.
#[derive(Clone, Debug, PartialEq)]
pub struct Inspection {
    /// Its form, in words.
    pub form: &'static str,
    /// Its size.
    pub file_bytes: u64,
    /// The entry of a checkpoint that its state dictionary lies in; `None` if it is nothing else.
    pub state_key: Option<String>,
    /// The entries of the state dictionary, under the names they have in the file.
    pub entries: Vec<InspectedEntry>,
    /// What lies beside the state dictionary: epoch, optimizer state, metadata.
    pub parts: Vec<(String, Part)>,
}

/// An entry of a state dictionary.
#[derive(Clone, Debug, PartialEq)]
pub struct InspectedEntry {
    /// The name in the file.
    pub name: String,
    /// Type of its elements as the library of its form calls it; or of the entry, if it is no tensor.
    pub kind: String,
    /// Dimensions, if it is a tensor.
    pub shape: Option<Vec<usize>>,
    /// Bytes of its values.
    pub bytes: u64,
}

/// Lists what a safetensors file or a PyTorch checkpoint holds. Reads no weights, and executes nothing.
/// - `key`: the state dictionary to list, where there are several; without it their parts alone are told
///
/// # Errors
/// [`Error::Io`], [`Error::Safetensors`] or [`Error::Pth`] when it is no such file.
pub fn inspect(path: &Path, key: Option<&str>) -> Result<Inspection> {
    let file_bytes = std::fs::metadata(path).map_err(Error::io("read", path))?.len();
    Ok(match WeightFile::open(path)?.form {
        Form::Pth(file, contents) => {
            of_pth(file.form(), file_bytes, contents, key).map_err(Error::pth(path))?
        }
        Form::Safetensors(file) => {
            let metadata: BTreeMap<_, _> =
                file.metadata().metadata().clone().unwrap_or_default().into_iter().collect();
            let tensors: BTreeMap<_, _> = file.metadata().tensors().into_iter().collect();
            let entries = tensors.into_iter().map(|(name, info)| InspectedEntry {
                name,
                kind: format!("{:?}", info.dtype),
                shape: Some(info.shape.clone()),
                bytes: (info.data_offsets.1 - info.data_offsets.0) as u64,
            });
            Inspection {
                form: "safetensors",
                file_bytes,
                state_key: None,
                entries: entries.collect(),
                parts: metadata.into_iter().map(|(name, text)| (name, Part::Fact(text))).collect(),
            }
        }
    })
}

fn of_pth(
    form: &'static str,
    file_bytes: u64,
    contents: Contents,
    key: Option<&str>,
) -> Result<Inspection, PthProblem> {
    let entry = |(name, entry): (String, Entry)| match entry {
        Entry::Tensor(view) => InspectedEntry {
            name,
            kind: view.element.name().to_owned(),
            shape: Some(view.shape.clone()),
            bytes: view.bytes(),
        },
        Entry::Other(kind) => InspectedEntry { name, kind: kind.to_owned(), shape: None, bytes: 0 },
    };
    let all = contents.parts();
    let state = match contents.into_state(key) {
        Ok(state) => state,
        // Somebody has to choose; or there is nothing to choose from.
        Err(PthProblem::SeveralStateDicts { .. } | PthProblem::NoStateDict { .. }) if key.is_none() => {
            return Ok(Inspection { form, file_bytes, state_key: None, entries: Vec::new(), parts: all });
        }
        Err(problem) => return Err(problem),
    };
    let is_wanted = |(name, _): &(String, Entry)| {
        state
            .prefix
            .as_ref()
            .is_none_or(|prefix| name.strip_prefix(prefix).is_some_and(|rest| rest.starts_with('.')))
    };
    let entries: Vec<_> = state.entries.into_iter().filter(is_wanted).map(entry).collect();
    if let (Some(key), true) = (key, entries.is_empty()) {
        return Err(PthProblem::NoStateDict {
            found: format!("nothing under the key `{}`", key.escape_debug()),
        });
    }
    Ok(Inspection { form, file_bytes, state_key: state.key, entries, parts: state.parts })
}
