//! Everything that compares a set of generated images with real ones, at once.

use candle_core::Tensor;
use cccm_sched::Streams;
use serde::{Deserialize, Serialize};

use crate::proportion::Z_95;
use crate::{
    DEFAULT_NEIGHBOURS, Diversity, Error, GaussianStats, KernelDistance, KernelDistanceConfig,
    PrecisionRecall, Result, diversity, frechet_standard_error, kernel_distance, precision_recall,
};

/// Resamples behind a standard error.
const RESAMPLES: usize = 100;
/// Rows that precision and recall look at on either side, at most: their time grows with the square.
const MANIFOLD_ROWS: usize = 5000;

/// Features of images, and the group of each, such as its pair of labels.
#[derive(Clone, Copy, Debug)]
pub struct FeatureSet<'a> {
    /// `(n, d)`, `f32`, on the CPU.
    pub features: &'a Tensor,
    /// One per row.
    pub groups: &'a [usize],
}

/// A number and its sampling error: how much it varies with which images happened to be in the set.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// The number.
    pub value: f64,
    /// Its standard error.
    pub standard_error: f64,
    /// Lower end of the 95 % confidence interval.
    pub low: f64,
    /// Upper end of the 95 % confidence interval.
    pub high: f64,
}

impl Estimate {
    /// An estimate with an approximately normal error, as estimates from many images have.
    pub fn normal(value: f64, standard_error: f64) -> Self {
        let half = Z_95 * standard_error;
        Self { value, standard_error, low: value - half, high: value + half }
    }

    /// The mean of independent values; none for fewer than two, which do not tell the error.
    pub(crate) fn of_mean(values: &[f64]) -> Option<Self> {
        let count = values.len() as f64;
        if count < 2.0 {
            return None;
        }
        let mean = values.iter().sum::<f64>() / count;
        let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (count - 1.0);
        Some(Self::normal(mean, (variance / count).sqrt()))
    }
}

/// How a set of generated images compares with real ones.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Distances {
    /// Generated images.
    pub images: usize,
    /// Real images.
    pub real_images: usize,
    /// Fréchet distance (see [`frechet_distance`](crate::frechet_distance)). Its interval covers which images
    /// happened to be generated. The distance falls with the number of images: compare equal numbers only.
    pub frechet: Estimate,
    /// Kernel distance (see [`kernel_distance`]), over 100 subsets of 1,000 images, or of as many as there are.
    pub kernel: KernelDistance,
    /// Precision and recall (see [`precision_recall`]), of at most the first 5,000 images on either side.
    pub manifold: PrecisionRecall,
    /// Diversity within groups (see [`diversity`]); absent where no group has two rows on either side.
    pub diversity: Option<Diversity>,
}

impl Distances {
    /// Compares generated images with real ones.
    /// - `streams`: decide the subsets and resamples
    ///
    /// # Errors
    /// When features differ in width, groups in number, or either side has too few rows: 4 at least.
    pub fn new(generated: FeatureSet<'_>, real: FeatureSet<'_>, streams: &Streams) -> Result<Self> {
        let (images, real_images) = (generated.features.dim(0)?, real.features.dim(0)?);
        let stats = GaussianStats::new(real.features)?;
        let frechet = GaussianStats::new(generated.features)?.frechet_distance(&stats)?;
        let error = frechet_standard_error(generated.features, generated.groups, &stats, RESAMPLES, streams)?;
        let cfg = KernelDistanceConfig::default();
        let cfg = KernelDistanceConfig { subset_size: cfg.subset_size.min(images).min(real_images), ..cfg };
        let diversity = match diversity(generated.features, generated.groups, real.features, real.groups) {
            Ok(diversity) => Some(diversity),
            Err(Error::NoSharedGroup { .. }) => None,
            Err(error) => return Err(error),
        };
        let first = |set: FeatureSet<'_>| set.features.narrow(0, 0, set.groups.len().min(MANIFOLD_ROWS));
        Ok(Self {
            images,
            real_images,
            frechet: Estimate::normal(frechet, error),
            kernel: kernel_distance(generated.features, real.features, cfg, streams)?,
            manifold: precision_recall(&first(generated)?, &first(real)?, DEFAULT_NEIGHBOURS)?,
            diversity,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn single_images_of_many_groups_have_no_diversity() {
        let rows = |purpose: &str| Streams::new(3).draws(0, 0..8).normal(purpose, &[4]).unwrap();
        let (generated, real) = (rows("generated"), rows("real"));
        let of = |groups: [usize; 8]| {
            let set = |features| FeatureSet { features, groups: &groups };
            Distances::new(set(&generated), set(&real), &Streams::new(0)).unwrap().diversity
        };
        assert_eq!(of([0, 1, 2, 3, 4, 5, 6, 7]), None);
        assert!(of([0, 0, 2, 3, 4, 5, 6, 7]).is_some_and(|diversity| diversity.groups.len() == 1));
    }
}
