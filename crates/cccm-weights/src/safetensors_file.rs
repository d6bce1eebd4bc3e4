//! Reading safetensors files a tensor at a time.
//!
//! Differs: not by `SafeTensors::deserialize`, which wants the whole file in memory and overflows on a header whose
//! offsets are near 2^64.

use std::io::{Read, Seek, SeekFrom};

use safetensors::SafeTensorError;
use safetensors::tensor::{Metadata, TensorInfo};

const LEN_BYTES: u64 = 8;

/// An open file whose tensors can be read.
#[derive(Debug)]
pub(crate) struct SafetensorsFile<R> {
    reader: R,
    /// Where the values begin.
    start: u64,
    metadata: Metadata,
}

impl<R: Read + Seek> SafetensorsFile<R> {
    /// Reads the header.
    ///
    /// # Errors
    /// What is wrong with it, or that the file is not as long as it says.
    pub(crate) fn open(mut reader: R) -> Result<Self, SafeTensorError> {
        let file_len = reader.seek(SeekFrom::End(0))?;
        reader.rewind()?;
        let mut len = [0; LEN_BYTES as usize];
        if file_len < LEN_BYTES {
            return Err(SafeTensorError::HeaderTooSmall);
        }
        reader.read_exact(&mut len)?;
        let len = u64::from_le_bytes(len);
        let start = len.checked_add(LEN_BYTES).filter(|start| *start <= file_len);
        let start = start.ok_or(SafeTensorError::InvalidHeaderLength)?;
        if len > longest_header(file_len) {
            return Err(SafeTensorError::HeaderTooLarge);
        }
        let mut header = vec![0; len as usize];
        reader.read_exact(&mut header)?;
        let metadata: Metadata =
            serde_json::from_slice(&header).map_err(SafeTensorError::InvalidHeaderDeserialization)?;
        if start.checked_add(metadata.data_len() as u64) != Some(file_len) {
            return Err(SafeTensorError::MetadataIncompleteBuffer);
        }
        Ok(Self { reader, start, metadata })
    }

    pub(crate) fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// The values of a tensor of `f32`.
    pub(crate) fn read_f32(&mut self, info: &TensorInfo) -> std::io::Result<Vec<f32>> {
        let (start, end) = info.data_offsets;
        let mut values = vec![0_f32; (end - start) / size_of::<f32>()];
        self.reader.seek(SeekFrom::Start(self.start + start as u64))?;
        self.reader.read_exact(bytemuck::cast_slice_mut(&mut values))?;
        if cfg!(target_endian = "big") {
            for value in &mut values {
                *value = f32::from_bits(u32::from_le(value.to_bits()));
            }
        }
        Ok(values)
    }

    /// The values of a tensor.
    pub(crate) fn read(&mut self, info: &TensorInfo) -> std::io::Result<Vec<u8>> {
        let (start, end) = info.data_offsets;
        let mut bytes = vec![0; end - start];
        self.reader.seek(SeekFrom::Start(self.start + start as u64))?;
        self.reader.read_exact(&mut bytes)?;
        Ok(bytes)
    }
}

/// Parsing a header takes up to forty times its size in memory, so headers that are far too long are refused.
fn longest_header(file_len: u64) -> u64 {
    const ALWAYS: u64 = 256 << 10;
    const PARSED_PER_BYTE: u64 = 40;
    ALWAYS + file_len / PARSED_PER_BYTE
}
