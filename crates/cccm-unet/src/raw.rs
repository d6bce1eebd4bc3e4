//! A tensor as files have it.

use std::borrow::Cow;

use candle_core::{DType, Device, Tensor};
use safetensors::{Dtype, View};

/// A contiguous tensor as files have it. Converting copies it nowhere else.
#[derive(Debug)]
pub(crate) struct RawTensor {
    pub(crate) dtype: Dtype,
    pub(crate) shape: Vec<usize>,
    /// Little-endian values in row-major order.
    pub(crate) bytes: Vec<u8>,
}

impl RawTensor {
    pub(crate) fn tensor(&self) -> candle_core::Result<Tensor> {
        Tensor::from_raw_buffer(&self.bytes, DType::try_from(self.dtype)?, &self.shape, &Device::Cpu)
    }
}

impl View for &RawTensor {
    fn dtype(&self) -> Dtype {
        self.dtype
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(&self.bytes)
    }

    fn data_len(&self) -> usize {
        self.bytes.len()
    }
}
