//! What each score of pictures sees, and what it looks through: real digits, made worse in one way at a time.

#![cfg(test)]

use std::sync::Arc;

use anyhow::Result;
use candle_core::{Device, Tensor};
use cccm_data::{Batch, ColoredMnist, CombinationFilter, Dataset, Digits, Loader, LoaderConfig, Subset};
use cccm_eval::{
    BoxError, Classifier, ClassifierConfig, ClassifierTraining, LabelledBatch, PixelDistances,
    PixelReference, frechet_distance, laplacian_pyramid,
};
use cccm_sched::Streams;

const PX: usize = 32;
/// Images of each pair, on either side.
const PER_COMBINATION: usize = 16;
/// Steps of the classifier: enough to read most digits.
const STEPS: u64 = 60;

fn digits(images: &[u8], labels: &[u8]) -> Result<Arc<dyn Dataset>> {
    Ok(Arc::new(ColoredMnist::new(Digits::from_idx(images, labels)?, PX, &CombinationFilter::all())?))
}

/// Images of every pair, and their groups.
fn some(dataset: &Arc<dyn Dataset>) -> Result<(Tensor, Vec<usize>)> {
    let some = Subset::balanced(Arc::clone(dataset), PER_COMBINATION)?;
    let mut values = vec![0f32; some.len() * 3 * PX * PX];
    for (index, image) in values.chunks_exact_mut(3 * PX * PX).enumerate() {
        some.load(index, image)?;
    }
    let groups = (0..some.len()).map(|index| some.vocabulary().place_of(&some.combination(index))).collect();
    Ok((Tensor::from_vec(values, (some.len(), 3, PX, PX), &Device::Cpu)?, groups))
}

fn trained(dataset: &Arc<dyn Dataset>) -> Result<Classifier> {
    let labels = dataset.vocabulary().kinds().to_vec();
    let loader = Loader::new(Arc::clone(dataset), &LoaderConfig::new(64, 0))?;
    let batches = loader.map(|batch| -> Result<LabelledBatch, BoxError> {
        let Batch { x_0, labels, .. } = batch?;
        Ok(LabelledBatch { images: x_0, labels })
    });
    let training = ClassifierTraining { steps: STEPS, ..ClassifierTraining::default() };
    Ok(training.run(&ClassifierConfig { image_px: PX, labels }, batches, &mut |_| ())?)
}

/// Within the range of pixels.
fn within(pictures: Tensor) -> Result<Tensor> {
    Ok(pictures.clamp(-1f32, 1f32)?)
}

/// Pictures judged by the classifier's features, and by their pixels.
struct Judged {
    features: f64,
    pixels: PixelDistances,
}

impl Judged {
    fn fine(&self) -> f64 {
        self.pixels.patches[0].value
    }

    fn coarse(&self) -> f64 {
        self.pixels.patches[1].value
    }

    fn px(&self) -> f64 {
        self.pixels.pixels.value
    }

    fn background(&self) -> f64 {
        self.pixels.background.map_or(f64::NAN, |background| background.distance.value)
    }
}

#[test]
fn pixels_show_what_a_classifier_looks_through() -> Result<()> {
    let train = digits(cccm_assets::MNIST_TRAIN_IMAGES, cccm_assets::MNIST_TRAIN_LABELS)?;
    let (real, _) = some(&train)?;
    let (fresh, groups) = some(&digits(cccm_assets::MNIST_TEST_IMAGES, cccm_assets::MNIST_TEST_LABELS)?)?;
    let classifier = trained(&train)?;
    let reference = PixelReference::new(&real, &Streams::new(0))?;
    let real_features = classifier.answer(&real)?.features;
    let judged = |pictures: &Tensor| -> Result<Judged> {
        let features = frechet_distance(&classifier.answer(pictures)?.features, &real_features)?;
        Ok(Judged { features, pixels: reference.distances(pictures, &groups)? })
    };

    let noise = Streams::new(1).draws(0, 0..groups.len() as u64).normal("grain", &[3, PX, PX])?;
    let red = Tensor::new(&[[[[0.2f32]], [[0.0]], [[0.0]]]], &Device::Cpu)?;
    let finest = laplacian_pyramid(&fresh)?.swap_remove(0);
    let clean = judged(&fresh)?;
    let grainy = judged(&within((&fresh + (noise * 0.2)?)?)?)?;
    let reddish = judged(&within(fresh.broadcast_add(&red)?)?)?;
    let blurred = judged(&within((&fresh - (finest * 0.25)?)?)?)?;

    assert_eq!(clean.background(), 0.0);
    for worse in [&grainy, &reddish, &blurred] {
        let rise = worse.features / clean.features;
        assert!(rise < 1.5, "features see it too: {rise} times the distance");
    }
    assert!(grainy.fine() > 3.0 * clean.fine() && grainy.background() > 10.0);
    assert!(grainy.px() > 1.3 * clean.px());
    assert!(reddish.coarse() > 2.0 * clean.coarse() && reddish.background() > 10.0);
    assert!(reddish.px() > 1.5 * clean.px());
    assert!(blurred.fine() > 3.0 * clean.fine() && blurred.background() == 0.0);
    Ok(())
}
