//! PyTorch files: reading both forms that `torch.save` writes, writing the newer one.
//!
//! A file is untrusted. It is read by a small pickle machine that knows the types of checkpoints and nothing else, and
//! executes nothing; memory is bounded by the file's size, and no recursion follows its structure.

mod archive;
mod contents;
mod globals;
mod heap;
mod input;
mod legacy;
mod machine;
mod opcode;
mod problem;
mod view;
mod write;

use std::io::{Read, Seek, SeekFrom};

pub(crate) use contents::{Contents, Entry};
pub(crate) use view::View;
pub(crate) use write::write;

pub use contents::Part;
pub use problem::PthProblem;

use archive::Archive;
use heap::{Heap, Value};
use input::Input;
use legacy::Storages;

/// An open file whose tensors can be read.
#[derive(Debug)]
pub(crate) struct PthFile<R> {
    reader: R,
    len: u64,
    form: Form,
    /// Allowance that is left. A tensor costs the bytes to read or the bytes that it shows, whichever is
    /// more.
    allowance: u64,
}

#[derive(Debug)]
enum Form {
    /// The archive, and the folder in it that everything lies in, with a slash.
    Zip(Archive, String),
    Legacy(Storages),
}

/// Whether bytes may be the beginning of a PyTorch file.
pub(crate) fn is_pth(start: &[u8]) -> bool {
    start.starts_with(&archive::LOCAL_MAGIC) || is_legacy(start)
}

fn is_legacy(start: &[u8]) -> bool {
    start.get(legacy::MAGIC_AT..).is_some_and(|rest| rest.starts_with(&legacy::MAGIC))
}

/// Bytes at the beginning that tell the form.
pub(crate) const START_LEN: u64 = (legacy::MAGIC_AT + legacy::MAGIC.len()) as u64;

impl<R: Read + Seek> PthFile<R> {
    /// Reads what a file holds, but no tensor. The reader should be buffered.
    ///
    /// # Errors
    /// Why it is refused.
    pub(crate) fn open(mut reader: R) -> Result<(Self, Contents), PthProblem> {
        let len = reader.seek(SeekFrom::End(0))?;
        let start = Input::new(&mut reader, 0, len)?.bytes(START_LEN.min(len))?;
        let mut heap = Heap::new(len);
        let (form, root) = if start.starts_with(&archive::LOCAL_MAGIC) {
            open_zip(&mut reader, len, &mut heap)?
        } else if is_legacy(&start) {
            let (root, storages) = legacy::open(&mut reader, len, &mut heap)?;
            (Form::Legacy(storages), root)
        } else {
            return Err(PthProblem::Format);
        };
        let contents = Contents::find(&heap, root)?;
        // Tensors may share storage, but not without end.
        Ok((Self { reader, len, form, allowance: len.saturating_mul(2) }, contents))
    }

    /// Which of the two forms it has, in words.
    pub(crate) fn form(&self) -> &'static str {
        match self.form {
            Form::Zip(..) => "PyTorch, zip",
            Form::Legacy(_) => "PyTorch, legacy pickle",
        }
    }

    /// The values of a tensor in row-major order.
    ///
    /// # Errors
    /// Why it is refused.
    pub(crate) fn read(&mut self, view: &View) -> Result<Vec<u8>, PthProblem> {
        let start = self.storage(view)?;
        let too_much = PthProblem::Memory { what: "list of tensors", file_bytes: self.len };
        self.allowance = self.allowance.checked_sub(view.cost()).ok_or(too_much)?;
        view.read(&mut self.reader, start)
    }

    /// Where the storage of a tensor lies, which must have the size that the tensor was told.
    fn storage(&mut self, view: &View) -> Result<u64, PthProblem> {
        let found = match &self.form {
            Form::Zip(archive, root) => {
                archive.find(&mut self.reader, &format!("{root}data/{}", view.storage))?
            }
            Form::Legacy(storages) => {
                let found = storages.get(&view.storage);
                found.map(|(start, elements)| (*start, elements * view.element.size() as u64))
            }
        };
        let name = problem::shown(&view.storage);
        match found {
            Some((start, bytes)) if bytes == view.storage_bytes => Ok(start),
            Some((_, bytes)) => {
                let want = view.storage_bytes;
                Err(PthProblem::cut_off(format!("storage `{name}` has {bytes} bytes instead of {want}")))
            }
            None => Err(PthProblem::cut_off(format!("storage `{name}` is missing"))),
        }
    }
}

fn open_zip<R: Read + Seek>(reader: &mut R, len: u64, heap: &mut Heap) -> Result<(Form, Value), PthProblem> {
    const PICKLE: &str = "data.pkl";
    const LITTLE: &[u8] = b"little";
    let archive = Archive::open(reader, len)?;
    let is_folder = |root: &&str| root.find('/').is_some_and(|slash| slash + 1 == root.len());
    let root = archive.names().filter_map(|name| name.strip_suffix(PICKLE)).find(is_folder);
    let root = root.ok_or_else(|| PthProblem::zip("it holds no `data.pkl`"))?.to_owned();
    if let Some((start, len)) = archive.find(reader, &format!("{root}byteorder"))? {
        let order = Input::new(reader, start, start + len)?.bytes(len)?;
        if order != LITTLE {
            let found = problem::shown(&String::from_utf8_lossy(&order));
            return Err(PthProblem::ByteOrder { found });
        }
    }
    let Some((start, pickle_len)) = archive.find(reader, &format!("{root}{PICKLE}"))? else {
        return Err(PthProblem::zip("it holds no `data.pkl`"));
    };
    let root_object = machine::unpickle(&mut Input::new(reader, start, start + pickle_len)?, heap)?;
    Ok((Form::Zip(archive, root), root_object))
}
