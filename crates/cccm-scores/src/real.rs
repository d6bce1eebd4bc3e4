//! Real images of every combination: those to learn from and compare with, and others to test with.

use std::collections::BTreeSet;
use std::sync::Arc;

use anyhow::Result;
use candle_core::{Device, Tensor};
use cccm_data::{Combination, Dataset};
use rayon::prelude::*;

/// Real images of every combination, held-out combinations among them where the data have those.
pub struct RealImages {
    /// To learn from and to compare with.
    pub train: Arc<dyn Dataset>,
    /// Shares no image with `train`.
    pub test: Arc<dyn Dataset>,
    /// What generators of these data learn from, held-out combinations aside. For folders these are all
    /// images, including `test`.
    pub learnt: Arc<dyn Dataset>,
    /// Combinations that generators did not see.
    pub held_out: BTreeSet<Combination>,
}

/// The images of a dataset in a row, `(n, 3, px, px)`, `f32` in `[-1, 1]`.
pub(crate) fn load(dataset: &dyn Dataset, images: &[usize]) -> Result<Tensor> {
    let px = dataset.image_px();
    let mut values = vec![0f32; images.len() * 3 * px * px];
    let items = values.par_chunks_mut((3 * px * px).max(1)).zip(images);
    items.try_for_each(|(image, index)| dataset.load(*index, image))?;
    Ok(Tensor::from_vec(values, (images.len(), 3, px, px), &Device::Cpu)?)
}
