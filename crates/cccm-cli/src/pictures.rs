//! The pair matrix: one image of every pair, from the same noise each time.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Result, bail};
use candle_core::{Device, Tensor};
use cccm_data::{Pair, Vocabulary};
use cccm_sample::{SampleStep, Sampler, SeededNoise};
use cccm_sched::{Denoiser, Streams};

use crate::report::{GridPicture, Marks, PixelRange, write_png};
use crate::signals::Interrupt;

/// Images that go through a network at once: enough to keep a CPU busy, few enough for any memory.
const BATCH: usize = 16;
/// Side of images of which a GPU is busy with as many; of smaller ones it takes more, up to [`MOST`].
const GPU_PX: usize = 128;
/// What a GPU takes at once at most.
const MOST: usize = 256;

/// What to draw, and from which noise.
pub(crate) struct Drawing<'a> {
    pub(crate) sampler: &'a dyn Sampler,
    pub(crate) network: &'a dyn Denoiser,
    pub(crate) streams: Streams,
    pub(crate) image_px: usize,
    pub(crate) device: &'a Device,
    /// Looked at after every step; once raised, it ends the drawing with an error.
    pub(crate) interrupt: Option<&'a Interrupt>,
}

impl Drawing<'_> {
    /// One image per pair, `(pairs, 3, px, px)`, about `[-1, 1]`. The image of a pair depends on its place in the list,
    /// not on how many are drawn. `progress` is told how many are done.
    /// - `first`: place of the first of these pairs, in a list that is drawn in parts
    pub(crate) fn images(
        &self,
        first: usize,
        pairs: &[Pair],
        progress: &mut dyn FnMut(usize),
    ) -> Result<Tensor> {
        let item_shape = [3, self.image_px, self.image_px];
        let mut observer = |_: &SampleStep<'_>| {
            if self.interrupt.is_some_and(Interrupt::is_raised) {
                candle_core::bail!("asked to stop")
            }
            Ok(())
        };
        let batch = self.batch();
        let mut parts = Vec::new();
        for (index, part) in pairs.chunks(batch).enumerate() {
            let place = first + index * batch;
            let samples = place as u64..(place + part.len()) as u64;
            let noise = SeededNoise::new(self.streams, samples, item_shape, self.device);
            let label = |pick: fn(&Pair) -> u32| Tensor::from_iter(part.iter().map(pick), self.device);
            let labels = [label(|pair| pair.attribute)?, label(|pair| pair.object)?];
            parts.push(self.sampler.sample(self.network, &labels, &noise, &mut observer)?);
            progress(index * batch + part.len());
        }
        Ok(Tensor::cat(&parts, 0)?)
    }

    /// Images that go through the network at once. A list that is drawn in parts of as many gives the images of the whole, to
    /// the bit.
    pub(crate) fn batch(&self) -> usize {
        if self.device.is_cpu() { BATCH } else { gpu_batch(self.image_px) }
    }
}

/// As many pixels as [`BATCH`] images of [`GPU_PX`] have.
fn gpu_batch(image_px: usize) -> usize {
    let pixels = BATCH * GPU_PX * GPU_PX;
    (pixels / (image_px * image_px).max(1)).clamp(BATCH, MOST)
}

/// Refuses more pictures than one file is made of, before any is drawn.
pub(crate) fn check_fits(pictures: usize, image_px: usize) -> Result<()> {
    /// Values of three channels: 2 GiB as they are drawn.
    const MOST_VALUES: usize = 1 << 29;
    let values = image_px.checked_mul(image_px).and_then(|pixels| pixels.checked_mul(3 * pictures.max(1)));
    if values.is_none_or(|values| values > MOST_VALUES) {
        bail!("{pictures} pictures of {image_px}×{image_px} pixels are more than fit into one file");
    }
    Ok(())
}

/// Writes images of all pairs of a vocabulary as a labelled matrix, held-out pairs framed.
pub(crate) fn write_matrix(
    path: &Path,
    images: &Tensor,
    vocabulary: &Vocabulary,
    held_out: &BTreeSet<Pair>,
    title: &str,
) -> Result<()> {
    let framed =
        vocabulary.pairs().enumerate().filter(|(_, pair)| held_out.contains(pair)).map(|(index, _)| index);
    let marks =
        Marks { images: framed.collect(), meaning: "framed: pairs that no training image shows".to_owned() };
    let picture = GridPicture {
        columns: vocabulary.objects.len(),
        column_labels: vocabulary.objects.clone(),
        row_labels: vocabulary.attributes.clone(),
        title: Some(title.to_owned()),
        marks: (!held_out.is_empty()).then_some(marks),
    };
    write_png(path, &picture.draw(images, PixelRange::Symmetric)?, &[("Description", title)])
}

#[cfg(test)]
mod tests {
    use cccm_sample::{FewStepConfig, FewStepSampler};
    use cccm_sched::{Conditions, ScheduleConfig, StudentConfig};

    use super::*;

    #[test]
    fn parts_of_a_batch_are_pieces_of_the_whole() -> Result<()> {
        let steps = FewStepConfig { steps: 2, guidance_scale: 3.0 };
        let sampler = FewStepSampler::new(&ScheduleConfig::default(), &StudentConfig::default(), &steps)?;
        let network = |x_t: &Tensor, _: &Tensor, _: &Conditions| x_t * 0.5;
        let drawing = Drawing {
            sampler: &sampler,
            network: &network,
            streams: Streams::new(0),
            image_px: 2,
            device: &Device::Cpu,
            interrupt: None,
        };
        let pairs = vec![Pair { attribute: 0, object: 1 }; 2 * BATCH + 1];
        let values = |images: &Tensor| images.flatten_all()?.to_vec1::<f32>();
        let whole = values(&drawing.images(0, &pairs, &mut |_| ())?)?;
        let mut parts = Vec::new();
        for (number, part) in pairs.chunks(drawing.batch()).enumerate() {
            parts.extend(values(&drawing.images(number * drawing.batch(), part, &mut |_| ())?)?);
        }
        assert_eq!(parts, whole);
        Ok(())
    }

    #[test]
    fn more_pictures_than_memory_are_refused() {
        check_fits(50, 32).unwrap();
        check_fits(413 * 674, 16).unwrap();
        for (pictures, px) in [(413 * 674, 64), (1, 1 << 15), (2, usize::MAX), (usize::MAX / 3, 2)] {
            assert!(check_fits(pictures, px).is_err(), "{pictures} of {px}");
        }
    }

    #[test]
    fn a_gpu_takes_more_of_small_images() {
        assert_eq!([16, 32, 64, 128, 256].map(gpu_batch), [256, 256, 64, 16, 16]);
    }
}
