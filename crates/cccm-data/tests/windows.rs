//! Windows that training cuts out of images: which they are does not depend on how they are loaded.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use cccm_data::{Combination, Dataset, Loader, LoaderConfig, Shard, Vocabulary};

/// Images of one pixel, which tells where the window lies.
struct Windowed(Vocabulary);

impl Dataset for Windowed {
    fn vocabulary(&self) -> &Vocabulary {
        &self.0
    }
    fn image_px(&self) -> usize {
        1
    }
    fn len(&self) -> usize {
        18
    }
    fn combination(&self, _: usize) -> Combination {
        Combination::from([0, 0])
    }
    fn load(&self, _: usize, _: &mut [f32]) -> cccm_data::Result<()> {
        Err(cccm_data::Error::EmptyDataset)
    }
    fn load_window(&self, _: usize, window: f64, out: &mut [f32]) -> cccm_data::Result<()> {
        out.fill(window as f32);
        Ok(())
    }
    fn describe(&self, index: usize) -> String {
        index.to_string()
    }
}

fn windowed() -> Result<Arc<Windowed>> {
    Ok(Arc::new(Windowed(Vocabulary::of_pairs(["a"], ["x"])?)))
}

fn windows(batches: usize, loader: &mut Loader) -> Result<Vec<f32>> {
    let mut windows = Vec::new();
    for _ in 0..batches {
        let batch = loader.next().context("loaders are endless")??;
        windows.extend(batch.x_0.narrow(1, 0, 1)?.flatten_all()?.to_vec1::<f32>()?);
    }
    Ok(windows)
}

/// Batches of an epoch, of 5, 5, 5 and 3 images.
const EPOCH: usize = 4;

#[test]
fn threads_a_late_start_and_parts_change_no_window() -> Result<()> {
    let one = LoaderConfig { workers: 1, prefetch: 1, ..LoaderConfig::new(5, 3) };
    let whole = windows(3 * EPOCH, &mut Loader::new(windowed()?, &one)?)?;
    assert_ne!(whole[..18], whole[18..36]);
    let many = LoaderConfig { workers: 5, prefetch: 7, ..one.clone() };
    assert_eq!(windows(3 * EPOCH, &mut Loader::new(windowed()?, &many)?)?, whole);
    assert_eq!(windows(EPOCH, &mut Loader::starting_at(windowed()?, &one, 1, 2)?)?, whole[28..46]);
    let other = LoaderConfig { seed: one.seed + 1, ..one.clone() };
    assert_ne!(windows(EPOCH, &mut Loader::new(windowed()?, &other)?)?, whole[..18]);

    let mut parts = Vec::new();
    for index in 0..2 {
        let shard = LoaderConfig { shard: Shard { index, count: 2 }, ..one.clone() };
        parts.push(Loader::new(windowed()?, &shard)?);
    }
    let mut joined = Vec::new();
    for _ in 0..3 * EPOCH {
        for part in &mut parts {
            joined.extend(windows(1, part)?);
        }
    }
    assert_eq!(joined, whole);
    Ok(())
}
