//! Where a sampler's noise comes from.

use std::ops::Range;

use candle_core::{Device, Result, Tensor};
use cccm_sched::Streams;

/// The noise of one batch, step by step.
///
/// Closures `Fn(usize) -> candle_core::Result<Tensor>` are noise sources: `|_| Ok(x.clone())` starts DDIM from a
/// given tensor.
pub trait NoiseSource {
    /// Standard normal noise `(batch, channels, height, width)`, float, on the network's device. Step 0 is what
    /// sampling starts from; step `j` renoises the estimate of step `j - 1`.
    ///
    /// # Errors
    /// When there is none for this step.
    fn noise(&self, step: usize) -> Result<Tensor>;
}

impl<F> NoiseSource for F
where
    F: Fn(usize) -> Result<Tensor>,
{
    fn noise(&self, step: usize) -> Result<Tensor> {
        self(step)
    }
}

/// Noise from a seed: an image's noise depends on its sample number alone, whatever the batch it is drawn in.
#[derive(Clone, Debug)]
pub struct SeededNoise {
    streams: Streams,
    samples: Range<u64>,
    item_shape: [usize; 3],
    device: Device,
}

impl SeededNoise {
    /// The noise of consecutive samples.
    /// - `samples`: their numbers; splitting `0..8` into `0..5` and `5..8` gives the same images
    /// - `item_shape`: `[channels, height, width]`
    pub fn new(streams: Streams, samples: Range<u64>, item_shape: [usize; 3], device: &Device) -> Self {
        Self { streams, samples, item_shape, device: device.clone() }
    }
}

impl NoiseSource for SeededNoise {
    /// `f32`, drawn on the CPU so that every device starts from the same numbers.
    fn noise(&self, step: usize) -> Result<Tensor> {
        // The start has a purpose of its own: it is the same for every sampler and number of steps.
        let purpose = if step == 0 { "sample.x_T" } else { "sample.noise" };
        let draws = self.streams.draws(step as u64, self.samples.clone());
        draws.normal(purpose, &self.item_shape)?.to_device(&self.device)
    }
}
