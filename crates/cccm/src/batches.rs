//! Batches as the trainer takes them.

use candle_core::Device;
use cccm_data::{Batch, Loader};
use cccm_distill::{BoxError, Part, TrainBatch};

/// A loader's batches, on the device to train on.
pub(crate) struct TrainBatches {
    loader: Loader,
    device: Device,
}

impl TrainBatches {
    pub(crate) fn new(loader: Loader, device: &Device) -> Self {
        Self { loader, device: device.clone() }
    }

    /// Says how many images were skipped, if any were.
    pub(crate) fn report_skipped(&self) {
        match self.loader.skipped() {
            0 => {}
            skipped => {
                tracing::warn!(
                    "{skipped} images could not be decoded, and others of the same labels stood in"
                );
            }
        }
    }

    fn convert(&self, batch: Batch) -> candle_core::Result<TrainBatch> {
        let Batch { x_0, labels, start, total, .. } = batch;
        // An empty part stays on the CPU: a GPU cannot allocate it.
        let device = if x_0.dim(0)? == 0 { &Device::Cpu } else { &self.device };
        Ok(TrainBatch {
            x_0: x_0.to_device(device)?,
            labels: labels.iter().map(|labels| labels.to_device(device)).collect::<Result<_, _>>()?,
            part: Part::From { start, total },
        })
    }
}

impl Iterator for TrainBatches {
    type Item = Result<TrainBatch, BoxError>;

    fn next(&mut self) -> Option<Self::Item> {
        let batch = self.loader.next()?;
        Some(batch.map_err(BoxError::from).and_then(|batch| Ok(self.convert(batch)?)))
    }
}
