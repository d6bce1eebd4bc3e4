//! Images with their labels, as training takes them.

use candle_core::Tensor;

use crate::{Error, Result};

/// Where the samples of a batch lie among those of their optimizer step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Part {
    /// They are all samples of the step.
    #[default]
    Whole,
    /// Other workers have the other samples.
    From {
        /// Place of the first one, counted from 0.
        start: usize,
        /// Samples of the step.
        total: usize,
    },
}

/// The samples of one optimizer step, or one worker's part of them.
#[derive(Clone, Debug)]
pub struct TrainBatch {
    /// Clean images `(batch, channels, height, width)`, `f32`, spanning `[-1, 1]`, on the device to train on.
    pub x_0: Tensor,
    /// Per label kind `(batch,)` `u32` indices, on the same device.
    pub labels: Vec<Tensor>,
    /// Whether these are all samples of the step, or which part. A sample's random numbers depend on its
    /// place in the whole step.
    pub part: Part,
}

impl TrainBatch {
    /// All samples of a step.
    /// - `x_0`, `labels`: as the fields
    pub fn new(x_0: Tensor, labels: Vec<Tensor>) -> Self {
        Self { x_0, labels, part: Part::Whole }
    }

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

    /// Samples `start..start + len`, as a part.
    ///
    /// # Errors
    /// When the batch is shorter.
    pub fn narrow(&self, start: usize, len: usize) -> candle_core::Result<Self> {
        let labels = self.labels.iter().map(|kind| kind.narrow(0, start, len)).collect::<Result<_, _>>()?;
        let (before, total) = self.place()?;
        let part = Part::From { start: before + start, total };
        Ok(Self { x_0: self.x_0.narrow(0, start, len)?, labels, part })
    }

    /// Place of the first sample among those of the step, and their number.
    pub(crate) fn place(&self) -> candle_core::Result<(usize, usize)> {
        match self.part {
            Part::Whole => Ok((0, self.samples()?)),
            Part::From { start, total } => Ok((start, total)),
        }
    }

    /// Number of samples, after checking that the step has some and that every sample here has its labels.
    pub(crate) fn checked_samples(&self, step: u64) -> Result<usize> {
        let (samples, (start, total)) = (self.samples()?, self.place()?);
        let bad = |reason| Err(Error::Batch { step, reason });
        if total == 0 {
            return bad("it has no samples".to_owned());
        }
        if start + samples > total {
            return bad(format!("it has samples {start} to {} of {total}", start + samples));
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
