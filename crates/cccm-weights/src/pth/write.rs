//! Writing what `torch.load(…, weights_only=True)` reads: a plain state dictionary in the zip form.

use std::collections::BTreeMap;
use std::io::{self, Write};

use safetensors::View;

use super::archive::{END_MAGIC, ENTRY_MAGIC, LOCAL_MAGIC};
use super::globals::Element;
use super::opcode as op;

/// Folder in the archive, as PyTorch names it when it writes to no named file.
const ROOT: &str = "archive";
/// Storages start at multiples of this, as PyTorch has it, so that they can be mapped into memory.
const ALIGNMENT: u64 = 64;
/// What PyTorch calls the extra field that pads to it.
const PADDING_ID: u16 = 0x4246;
const LOCAL_LEN: u64 = 30;
/// PyTorch's `kProducedFileFormatVersion`.
const VERSION: &[u8] = b"3\n";

/// Writes tensors in order of their names; equal tensors give equal bytes. They must be floating point.
///
/// # Errors
/// Of the writer; of kind `Unsupported` when a tensor is no floating-point one, or the file would exceed 4 GiB.
pub(crate) fn write<V>(out: &mut dyn Write, tensors: &BTreeMap<String, V>) -> io::Result<()>
where
    for<'a> &'a V: View,
{
    let mut zip = ZipWriter { out, at: 0, directory: Vec::new(), entries: 0 };
    zip.entry("data.pkl", &pickle(tensors)?)?;
    zip.entry("byteorder", b"little")?;
    for (key, tensor) in tensors.values().enumerate() {
        zip.entry(&format!("data/{key}"), &tensor.data())?;
    }
    zip.entry("version", VERSION)?;
    zip.finish()
}

fn unsupported(problem: String) -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, problem)
}

// The pickle.

fn pickle<V>(tensors: &BTreeMap<String, V>) -> io::Result<Vec<u8>>
where
    for<'a> &'a V: View,
{
    let mut pickle = vec![op::PROTO, 2];
    ordered_dict(&mut pickle);
    pickle.push(op::MARK);
    for (key, (name, tensor)) in tensors.iter().enumerate() {
        text(&mut pickle, name)?;
        rebuilt_tensor(&mut pickle, key, tensor)?;
    }
    pickle.extend([op::SETITEMS, op::STOP]);
    Ok(pickle)
}

/// `_rebuild_tensor_v2(storage, offset, size, stride, requires_grad, backward_hooks)`
fn rebuilt_tensor(pickle: &mut Vec<u8>, key: usize, tensor: impl View) -> io::Result<()> {
    let element = Element::of_float(tensor.dtype())
        .ok_or_else(|| unsupported(format!("{:?} is no type of weights", tensor.dtype())))?;
    let shape = tensor.shape();
    let strides: Vec<usize> = (1..=shape.len()).map(|next| shape[next..].iter().product()).collect();
    global(pickle, "torch._utils", "_rebuild_tensor_v2");
    pickle.push(op::MARK);
    pickle.push(op::MARK);
    text(pickle, "storage")?;
    global(pickle, "torch", element.storage());
    text(pickle, &key.to_string())?;
    text(pickle, "cpu")?;
    int(pickle, shape.iter().product());
    pickle.extend([op::TUPLE, op::BINPERSID]);
    int(pickle, 0);
    sizes(pickle, shape);
    sizes(pickle, &strides);
    pickle.push(op::NEWFALSE);
    ordered_dict(pickle);
    pickle.extend([op::TUPLE, op::REDUCE]);
    Ok(())
}

fn ordered_dict(pickle: &mut Vec<u8>) {
    global(pickle, "collections", "OrderedDict");
    pickle.extend([op::EMPTY_TUPLE, op::REDUCE]);
}

fn global(pickle: &mut Vec<u8>, module: &str, name: &str) {
    pickle.push(op::GLOBAL);
    pickle.extend(format!("{module}\n{name}\n").into_bytes());
}

fn text(pickle: &mut Vec<u8>, text: &str) -> io::Result<()> {
    let len = u32::try_from(text.len()).map_err(|_| unsupported("a name is too long".to_owned()))?;
    pickle.push(op::BINUNICODE);
    pickle.extend(len.to_le_bytes());
    pickle.extend(text.as_bytes());
    Ok(())
}

fn int(pickle: &mut Vec<u8>, value: usize) {
    if let Ok(value) = i32::try_from(value) {
        pickle.push(op::BININT);
        pickle.extend(value.to_le_bytes());
    } else {
        pickle.extend([op::LONG1, 8]);
        pickle.extend((value as u64).to_le_bytes());
    }
}

fn sizes(pickle: &mut Vec<u8>, sizes: &[usize]) {
    pickle.push(op::MARK);
    for size in sizes {
        int(pickle, *size);
    }
    pickle.push(op::TUPLE);
}

// The archive.

struct ZipWriter<'a> {
    out: &'a mut dyn Write,
    at: u64,
    directory: Vec<u8>,
    entries: u16,
}

impl ZipWriter<'_> {
    /// Stores an entry with its content aligned.
    fn entry(&mut self, name: &str, content: &[u8]) -> io::Result<()> {
        let (name, header_at) = (format!("{ROOT}/{name}"), fits(self.at)?);
        let name_len = name.len() as u16;
        let unpadded = self.at + LOCAL_LEN + u64::from(name_len) + 4;
        let padding = vec![b'Z'; (unpadded.next_multiple_of(ALIGNMENT) - unpadded) as usize];
        let sizes = sizes_and_checksum(content)?;

        let mut header = LOCAL_MAGIC.to_vec();
        header.extend(&sizes);
        header.extend(name_len.to_le_bytes());
        header.extend((4 + padding.len() as u16).to_le_bytes());
        header.extend(name.as_bytes());
        header.extend(PADDING_ID.to_le_bytes());
        header.extend((padding.len() as u16).to_le_bytes());
        header.extend(padding);
        self.write(&header)?;
        self.write(content)?;

        self.directory.extend(ENTRY_MAGIC);
        // Version of the writer, then as in the header.
        self.directory.extend(STORED_SINCE.to_le_bytes());
        self.directory.extend(sizes);
        self.directory.extend(name_len.to_le_bytes());
        // No extra field, comment, disk or attributes.
        self.directory.extend([0; 12]);
        self.directory.extend(header_at.to_le_bytes());
        self.directory.extend(name.into_bytes());
        self.entries = self
            .entries
            .checked_add(1)
            .ok_or_else(|| unsupported("there are too many tensors".to_owned()))?;
        Ok(())
    }

    fn finish(mut self) -> io::Result<()> {
        let (start, directory) = (fits(self.at)?, std::mem::take(&mut self.directory));
        self.write(&directory)?;
        let mut end = END_MAGIC.to_vec();
        end.extend([0; 4]);
        end.extend(self.entries.to_le_bytes());
        end.extend(self.entries.to_le_bytes());
        end.extend(fits(directory.len() as u64)?.to_le_bytes());
        end.extend(start.to_le_bytes());
        end.extend([0; 2]);
        self.write(&end)
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.at += bytes.len() as u64;
        self.out.write_all(bytes)
    }
}

/// Version of the zip format that knows stored entries.
const STORED_SINCE: u16 = 20;
/// The first day that zip files know, so that equal weights are equal bytes.
const DATE: u16 = (1 << 5) | 1;

/// Version, flags, method, time, date, checksum, both sizes: the same in both headers.
fn sizes_and_checksum(content: &[u8]) -> io::Result<Vec<u8>> {
    let len = fits(content.len() as u64)?;
    let mut fields = Vec::new();
    for field in [STORED_SINCE, 0, 0, 0, DATE] {
        fields.extend(field.to_le_bytes());
    }
    for field in [crc32fast::hash(content), len, len] {
        fields.extend(field.to_le_bytes());
    }
    Ok(fields)
}

fn fits(bytes: u64) -> io::Result<u32> {
    let most = u64::from(u32::MAX) - 1;
    let too_large = || unsupported("PyTorch files above 4 GiB are not written; write safetensors".to_owned());
    u32::try_from(bytes.min(most + 1)).ok().filter(|_| bytes <= most).ok_or_else(too_large)
}
