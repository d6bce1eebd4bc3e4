//! Mirrored images: which they are does not depend on how they are loaded.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use cccm_data::{
    Combination, CombinationFilter, Dataset, Flip, Loader, LoaderConfig, OnBadImage, Sampling, Shapes,
    ShapesConfig, Shard, Vocabulary,
};

/// Images of 2 × 2 pixels, image `i` with `i` on the left and `i + 0.5` on the right, the first eight of combination (0, 0), the
/// others of combination (1, 0). The last two cannot be decoded.
struct Lopsided(Vocabulary);

impl Dataset for Lopsided {
    fn vocabulary(&self) -> &Vocabulary {
        &self.0
    }
    fn image_px(&self) -> usize {
        2
    }
    fn len(&self) -> usize {
        18
    }
    fn combination(&self, index: usize) -> Combination {
        Combination::from([u32::from(index >= 8), 0])
    }
    fn load(&self, index: usize, out: &mut [f32]) -> cccm_data::Result<()> {
        if index >= 16 {
            return Err(cccm_data::Error::EmptyDataset);
        }
        for row in out.chunks_exact_mut(2) {
            row.copy_from_slice(&[index as f32, index as f32 + 0.5]);
        }
        Ok(())
    }
    fn describe(&self, index: usize) -> String {
        index.to_string()
    }
}

fn lopsided() -> Result<Arc<Lopsided>> {
    Ok(Arc::new(Lopsided(Vocabulary::of_pairs(["a", "b"], ["x"])?)))
}

fn config() -> LoaderConfig {
    LoaderConfig { flip: Some(Flip::default()), on_bad_image: OnBadImage::Skip, ..LoaderConfig::new(5, 3) }
}

/// The images of so many batches in a row, each with whether it is mirrored.
fn images(batches: usize, loader: Loader) -> Result<Vec<(u32, bool)>> {
    let mut images = Vec::new();
    for batch in loader.take(batches) {
        for image in batch?.x_0.flatten_from(1)?.to_vec2::<f32>()? {
            let row = &image[..2];
            assert!(image.chunks_exact(2).all(|other| other == row), "{image:?}");
            let left = row[0].min(row[1]);
            assert_eq!((row[0] - row[1]).abs(), 0.5);
            images.push((left as u32, row[0] > row[1]));
        }
    }
    Ok(images)
}

/// Batches of an epoch.
const EPOCH: usize = 4;

#[test]
fn half_of_the_draws_are_mirrored_and_the_order_stays() -> Result<()> {
    let batches = 100 * EPOCH;
    let flipped = images(batches, Loader::new(lopsided()?, &config())?)?;
    let plain = images(batches, Loader::new(lopsided()?, &LoaderConfig { flip: None, ..config() })?)?;
    assert!(plain.iter().all(|(_, mirrored)| !mirrored));
    let numbers = |images: &[(u32, bool)]| images.iter().map(|(image, _)| *image).collect::<Vec<_>>();
    assert_eq!(numbers(&flipped), numbers(&plain));
    // 1,800 draws: six standard deviations are 127.
    let mirrored = flipped.iter().filter(|(_, mirrored)| *mirrored).count();
    assert!(mirrored.abs_diff(900) < 127, "{mirrored}");
    // An image is mirrored at one time, and not at another.
    assert!((0..16).all(|image| [true, false].iter().all(|way| flipped.contains(&(image, *way)))));
    Ok(())
}

#[test]
fn images_that_labels_except_are_never_mirrored() -> Result<()> {
    let dataset = lopsided()?;
    let flip = Some(Flip::except(dataset.vocabulary(), ["b"])?);
    let kept = images(40 * EPOCH, Loader::new(dataset, &LoaderConfig { flip, ..config() })?)?;
    let all = images(40 * EPOCH, Loader::new(lopsided()?, &config())?)?;
    for (kept, all) in kept.iter().zip(&all) {
        assert_eq!(kept.1, all.1 && all.0 < 8, "{kept:?} {all:?}");
    }
    Ok(())
}

#[test]
fn threads_a_late_start_and_parts_change_nothing() -> Result<()> {
    for sampling in [Sampling::ClassBalanced, Sampling::Shuffled] {
        let one = LoaderConfig { workers: 1, prefetch: 1, sampling, ..config() };
        let whole = images(3 * EPOCH, Loader::new(lopsided()?, &one)?)?;
        let many = LoaderConfig { workers: 5, prefetch: 7, ..one.clone() };
        assert_eq!(images(3 * EPOCH, Loader::new(lopsided()?, &many)?)?, whole);
        // The last batch of an epoch has 3 images, all others 5.
        let late = Loader::starting_at(lopsided()?, &one, 1, 2)?;
        assert_eq!(images(EPOCH, late)?, whole[18 + 10..][..18]);

        let mut parts = Vec::new();
        for index in 0..2 {
            let shard = LoaderConfig { shard: Shard { index, count: 2 }, ..one.clone() };
            parts.push(Loader::new(lopsided()?, &shard)?);
        }
        let mut joined = Vec::new();
        for _ in 0..3 * EPOCH {
            for part in &mut parts {
                let batch = part.next().context("loaders are endless")??;
                for image in batch.x_0.flatten_from(1)?.to_vec2::<f32>()? {
                    joined.push((image[0].min(image[1]) as u32, image[0] > image[1]));
                }
            }
        }
        assert_eq!(joined, whole);
    }
    Ok(())
}

#[test]
fn larger_batches_mirror_the_same_places() -> Result<()> {
    let small = images(2 * EPOCH, Loader::new(lopsided()?, &config())?)?;
    let large = images(2 * 2, Loader::new(lopsided()?, &LoaderConfig { batch_size: 10, ..config() })?)?;
    assert_eq!(small, large);
    Ok(())
}

#[test]
fn a_mirrored_picture_is_the_picture_seen_in_a_mirror() -> Result<()> {
    const PX: usize = 8;
    let shapes = ShapesConfig {
        image_px: PX,
        images_per_combination: 1,
        seed: 0,
        sized: false,
        combinations: CombinationFilter::all(),
    };
    let shapes = Arc::new(Shapes::new(&shapes)?);
    let config = LoaderConfig { sampling: Sampling::Sequential, ..config() };
    let flipped = Loader::new(shapes.clone(), &config)?.next().context("loaders are endless")??;
    let plain = Loader::new(shapes, &LoaderConfig { flip: None, ..config })?
        .next()
        .context("loaders are endless")??;
    let rows = plain.x_0.flatten_to(2)?.to_vec2::<f32>()?;
    let mut mirrored = 0;
    for (number, row) in flipped.x_0.flatten_to(2)?.to_vec2::<f32>()?.into_iter().enumerate() {
        let turned: Vec<f32> = rows[number].iter().rev().copied().collect();
        assert!(row == rows[number] || row == turned);
        mirrored += usize::from(row != rows[number]);
    }
    assert!(mirrored > 0);
    Ok(())
}
