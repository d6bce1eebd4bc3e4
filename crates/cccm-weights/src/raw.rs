//! A tensor as files have it.

use std::borrow::Cow;

use candle_core::{DType, Device, Tensor};
use safetensors::{Dtype, View};

/// A contiguous tensor in the form that files have: it can go from one file to another without a conversion.
#[derive(Clone, Debug)]
pub struct RawTensor {
    /// Type of its values.
    pub dtype: Dtype,
    /// Dimensions.
    pub shape: Vec<usize>,
    /// Little-endian values in row-major order.
    pub bytes: Vec<u8>,
}

impl RawTensor {
    /// The same for candle, on the CPU.
    ///
    /// # Errors
    /// When candle has no such dtype, or the bytes are not as many as the shape says.
    pub fn tensor(&self) -> candle_core::Result<Tensor> {
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
