//! Any number of images, in batches that a device takes.

use candle_core::{Device, Tensor};
use cccm_labels::Combination;
use cccm_sched::{Denoiser, Streams};

use crate::{Error, Result, SampleStep, Sampler, SeededNoise};

/// Images that go through a network at once: enough to keep a CPU busy, few enough for any memory.
const BATCH: usize = 16;
/// Side of the images of which [`BATCH`] keep a GPU busy. Batches of smaller images are larger, up to
/// [`MOST`].
const GPU_PX: usize = 128;
/// Largest batch on a GPU.
const MOST: usize = 256;

/// Samples images by their labels, each from noise of its own, in as many batches as it takes.
///
/// An image depends on the seed, on its place in the list and on its labels, not on how many are sampled.
pub struct BatchSampler<'a> {
    /// How one batch is sampled.
    pub sampler: &'a dyn Sampler,
    /// The network.
    pub network: &'a dyn Denoiser,
    /// Where the noise is drawn from.
    pub streams: Streams,
    /// Side of the images.
    pub image_px: usize,
    /// Where the network computes.
    pub device: &'a Device,
    /// Asked after every step: a yes ends the sampling with [`Error::Stopped`].
    pub stop: &'a dyn Fn() -> bool,
}

impl BatchSampler<'_> {
    /// One image for every entry, `(n, 3, px, px)`, about `[-1, 1]`, on the device.
    /// - `first`: place of the first entry, in a list that is sampled in parts
    /// - `labels`: per image its combination, all of as many kinds; at least one image
    /// - `progress`: is told how many of these images are done
    ///
    /// # Errors
    /// [`Error::Stopped`], and what [`Sampler::sample`] says.
    pub fn images(
        &self,
        first: usize,
        labels: &[Combination],
        progress: &mut dyn FnMut(usize),
    ) -> Result<Tensor> {
        let item_shape = [3, self.image_px, self.image_px];
        let mut observer = |_: &SampleStep<'_>| {
            if (self.stop)() {
                candle_core::bail!("asked to stop")
            }
            Ok(())
        };
        let batch = self.batch();
        let mut parts = Vec::new();
        for (index, part) in labels.chunks(batch).enumerate() {
            let place = first + index * batch;
            let samples = place as u64..(place + part.len()) as u64;
            let noise = SeededNoise::new(self.streams, samples, item_shape, self.device);
            let kinds = part.first().map_or(0, |combination| combination.len());
            let of_kind = |kind: usize| {
                let labels = part.iter().map(|labels| labels.get(kind).copied().unwrap_or_default());
                Tensor::from_iter(labels, self.device)
            };
            let labels: Vec<Tensor> = (0..kinds).map(of_kind).collect::<candle_core::Result<_>>()?;
            match self.sampler.sample(self.network, &labels, &noise, &mut observer) {
                Err(_) if (self.stop)() => return Err(Error::Stopped),
                images => parts.push(images?),
            }
            progress(index * batch + part.len());
        }
        Ok(Tensor::cat(&parts, 0)?)
    }

    /// Images that go through the network at once. A list that is sampled in parts of as many gives the images of the whole,
    /// to the bit.
    pub fn batch(&self) -> usize {
        if self.device.is_cpu() { BATCH } else { gpu_batch(self.image_px) }
    }
}

/// As many pixels as [`BATCH`] images of [`GPU_PX`] have.
fn gpu_batch(image_px: usize) -> usize {
    let pixels = BATCH * GPU_PX * GPU_PX;
    (pixels / (image_px * image_px).max(1)).clamp(BATCH, MOST)
}

#[cfg(test)]
mod tests {
    use cccm_sched::{Conditions, ScheduleConfig, StudentConfig};

    use super::*;
    use crate::{FewStepConfig, FewStepSampler};

    fn sampler() -> Result<FewStepSampler> {
        let steps = FewStepConfig { steps: 2, guidance_scale: 3.0 };
        FewStepSampler::new(&ScheduleConfig::default(), &StudentConfig::default(), &steps)
    }

    fn network(x_t: &Tensor, _: &Tensor, _: &Conditions) -> candle_core::Result<Tensor> {
        x_t * 0.5
    }

    fn drawn_by<'a>(sampler: &'a dyn Sampler, stop: &'a dyn Fn() -> bool) -> BatchSampler<'a> {
        let (network, device) = (&network, &Device::Cpu);
        BatchSampler { sampler, network, streams: Streams::new(0), image_px: 2, device, stop }
    }

    #[test]
    fn parts_of_a_batch_are_pieces_of_the_whole() -> Result<()> {
        let sampler = sampler()?;
        let images = drawn_by(&sampler, &|| false);
        let labels = vec![Combination::from([0, 1]); 2 * BATCH + 1];
        let values = |images: &Tensor| images.flatten_all()?.to_vec1::<f32>();
        let whole = values(&images.images(0, &labels, &mut |_| ())?)?;
        let mut parts = Vec::new();
        for (number, part) in labels.chunks(images.batch()).enumerate() {
            parts.extend(values(&images.images(number * images.batch(), part, &mut |_| ())?)?);
        }
        assert_eq!(parts, whole);
        Ok(())
    }

    #[test]
    fn a_stop_ends_the_sampling_by_name() -> Result<()> {
        let sampler = sampler()?;
        let stopped = drawn_by(&sampler, &|| true).images(0, &[[0, 1].into()], &mut |_| ());
        assert!(matches!(stopped, Err(Error::Stopped)));
        Ok(())
    }

    #[test]
    fn a_gpu_takes_more_of_small_images() {
        assert_eq!([16, 32, 64, 128, 256].map(gpu_batch), [256, 256, 64, 16, 16]);
    }
}
