//! Images with their labels, as training takes them.

use candle_core::Tensor;

use crate::{Error, Result};

/// The samples of one optimizer step.
#[derive(Clone, Debug)]
pub struct TrainBatch {
    /// Clean images `(batch, channels, height, width)`, `f32`, spanning `[-1, 1]`, on the device to train on.
    pub x_0: Tensor,
    /// Per label kind `(batch,)` `u32` indices, on the same device.
    pub labels: Vec<Tensor>,
}

impl TrainBatch {
    /// Number of samples.
    ///
    /// # Errors
    /// When the images are a scalar.
    pub fn samples(&self) -> candle_core::Result<usize> {
        self.x_0.dim(0)
    }

    /// Shape of one image, `[channels, height, width]`.
    pub(crate) fn image_shape(&self) -> &[usize] {
        self.x_0.dims().get(1..).unwrap_or_default()
    }

    /// Samples `start..start + len`.
    ///
    /// # Errors
    /// When the batch is shorter.
    pub fn narrow(&self, start: usize, len: usize) -> candle_core::Result<Self> {
        let labels = self.labels.iter().map(|kind| kind.narrow(0, start, len)).collect::<Result<_, _>>()?;
        Ok(Self { x_0: self.x_0.narrow(0, start, len)?, labels })
    }

    /// Number of samples, once it is sure that there are some and that every one has its labels.
    pub(crate) fn checked_samples(&self, step: u64) -> Result<usize> {
        let samples = self.samples()?;
        let bad = |reason| Err(Error::Batch { step, reason });
        if samples == 0 {
            return bad("it has no samples".to_owned());
        }
        match self.labels.iter().position(|kind| kind.dims() != [samples]) {
            Some(kind) => bad(format!(
                "labels of kind {kind} have shape {:?}, but must have {:?}, one per image",
                self.labels[kind].dims(),
                [samples]
            )),
            None => Ok(samples),
        }
    }
}
