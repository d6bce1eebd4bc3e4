//! Kernel distance: the squared maximum mean discrepancy under a cubic kernel.

use candle_core::{Device, Tensor};
use cccm_sched::Streams;
use rand::seq::index;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::rows::Rows;
use crate::{Error, Result};

/// How often and from how many rows a kernel distance is estimated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct KernelDistanceConfig {
    /// Random subsets, at least 2. Default 100, as in the code of Bińkowski et al. 2018.
    pub subsets: usize,
    /// Rows in a subset, at least 2 and at most as many as either side has. Default 1000 (same).
    pub subset_size: usize,
}

impl Default for KernelDistanceConfig {
    fn default() -> Self {
        Self { subsets: 100, subset_size: 1000 }
    }
}

/// A kernel distance over random subsets.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct KernelDistance {
    /// Mean over the subsets. Unbiased: it may be below 0 where the distributions are nearly equal.
    pub mean: f64,
    /// Standard deviation over the subsets, as published tables give it. It is the spread of one subset's estimate, not
    /// the standard error of the mean, as subsets overlap.
    pub std: f64,
}

/// Kernel distance (KID) between generated and real features: the unbiased squared maximum mean discrepancy under the
/// kernel `k(x, y) = (x·y / d + 1)³` (Bińkowski et al. 2018, section 4), over random subsets without repetition.
/// - `generated`, `real`: `(n, d)`, float, each of at least `subset_size` rows
///
/// Unlike the Fréchet distance its mean does not depend on how many images there are.
///
/// # Errors
/// [`Error::InvalidConfig`] for fewer than 2 subsets, or for subsets of fewer than 2 rows or of more than there are;
/// [`Error::Shape`], [`Error::NonFinite`].
pub fn kernel_distance(
    generated: &Tensor,
    real: &Tensor,
    cfg: KernelDistanceConfig,
    streams: &Streams,
) -> Result<KernelDistance> {
    let (generated, real) = two_sides(generated, real)?;
    if cfg.subsets < 2 {
        return Err(Error::invalid("subsets", cfg.subsets, "at least 2"));
    }
    if !(2..=generated.len().min(real.len())).contains(&cfg.subset_size) {
        let want = "at least 2 and at most as many as there are generated images, and real ones";
        return Err(Error::invalid("subset_size", cfg.subset_size, want));
    }
    let subset = |rows: &Rows, number, side| {
        let mut rng = streams.stream("kernel_distance_subset", number, side);
        Matrix::new(rows, index::sample(&mut rng, rows.len(), cfg.subset_size).into_iter())
    };
    let distances = (0..cfg.subsets as u64)
        .into_par_iter()
        .map(|number| discrepancy(&subset(&generated, number, 0)?, &subset(&real, number, 1)?))
        .collect::<Result<Vec<_>>>()?;
    let mean = distances.iter().sum::<f64>() / cfg.subsets as f64;
    let squares = distances.iter().map(|distance| (distance - mean).powi(2)).sum::<f64>();
    Ok(KernelDistance { mean, std: (squares / (cfg.subsets - 1) as f64).sqrt() })
}

/// Kernel distance as [`kernel_distance`], of all rows at once: what its mean estimates.
/// - `generated`, `real`: `(n, d)`, float, each of at least 2 rows
///
/// # Errors
/// [`Error::Shape`], [`Error::TooFewRows`], [`Error::NonFinite`].
///
/// ```
/// use candle_core::{Device, Tensor};
/// use cccm_eval::kernel_distance_of_all;
///
/// let generated = Tensor::new(&[[0f32], [1.0]], &Device::Cpu)?;
/// let real = Tensor::new(&[[2f32], [3.0]], &Device::Cpu)?;
/// // k(0, 1) + k(2, 3) - (k(0, 2) + k(0, 3) + k(1, 2) + k(1, 3)) / 2
/// assert_eq!(kernel_distance_of_all(&generated, &real)?, 1.0 + 343.0 - (1.0 + 1.0 + 27.0 + 64.0) / 2.0);
/// # Ok::<(), cccm_eval::Error>(())
/// ```
pub fn kernel_distance_of_all(generated: &Tensor, real: &Tensor) -> Result<f64> {
    let (generated, real) = two_sides(generated, real)?;
    discrepancy(&Matrix::new(&generated, 0..generated.len())?, &Matrix::new(&real, 0..real.len())?)
}

fn two_sides(generated: &Tensor, real: &Tensor) -> Result<(Rows, Rows)> {
    let real = Rows::new("real features", real)?.at_least(2)?;
    let generated = Rows::new("generated features", generated)?.at_least(2)?.with_dim_of(&real)?;
    Ok((generated, real))
}

/// Some rows in `f64`: the distance is a small difference of large sums.
struct Matrix {
    len: usize,
    dim: usize,
    values: Tensor,
    /// Sum of `k(x, x)`.
    trace: f64,
}

impl Matrix {
    fn new(rows: &Rows, chosen: impl Iterator<Item = usize>) -> Result<Self> {
        let values: Vec<f64> = chosen.flat_map(|row| rows.row(row)).map(|value| f64::from(*value)).collect();
        let (len, dim) = (values.len() / rows.dim(), rows.dim());
        let norms = values.chunks_exact(dim).map(|row| row.iter().map(|value| value * value).sum::<f64>());
        let trace = norms.map(|norm| kernel(norm, dim)).sum();
        Ok(Self { len, dim, values: Tensor::from_vec(values, (len, dim), &Device::Cpu)?, trace })
    }

    /// Sum of `k(x, y)` over all pairs of a row `x` of this and a row `y` of `other`.
    fn kernel_sum(&self, other: &Self) -> Result<f64> {
        // The products of all rows at once would be gigabytes.
        const BLOCK_ROWS: usize = 512;
        let transposed = other.values.t()?;
        let sum = |start: usize| {
            let block = self.values.narrow(0, start, BLOCK_ROWS.min(self.len - start))?;
            let products: Vec<f64> = block.matmul(&transposed)?.flatten_all()?.to_vec1()?;
            Ok::<_, Error>(products.into_iter().map(|product| kernel(product, self.dim)).sum::<f64>())
        };
        let sums = (0..self.len).into_par_iter().step_by(BLOCK_ROWS).map(sum).collect::<Result<Vec<_>>>()?;
        Ok(sums.into_iter().sum())
    }

    /// Mean of `k(x, x')` over all pairs of different rows.
    fn mean_within(&self) -> Result<f64> {
        Ok((self.kernel_sum(self)? - self.trace) / (self.len * (self.len - 1)) as f64)
    }
}

/// The kernel, of the dot product of two rows.
fn kernel(product: f64, dim: usize) -> f64 {
    (product / dim as f64 + 1.0).powi(3)
}

/// Unbiased estimate of the squared maximum mean discrepancy (Gretton et al. 2012, eq. 3).
fn discrepancy(x: &Matrix, y: &Matrix) -> Result<f64> {
    let across = x.kernel_sum(y)? / (x.len * y.len) as f64;
    Ok(x.mean_within()? + y.mean_within()? - 2.0 * across)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn normal(purpose: &str, n: u64, dim: usize) -> Tensor {
        Streams::new(5).draws(0, 0..n).normal(purpose, &[dim]).unwrap()
    }

    fn cfg(subsets: usize, subset_size: usize) -> KernelDistanceConfig {
        KernelDistanceConfig { subsets, subset_size }
    }

    #[test]
    fn subsets_of_everything_are_everything() {
        let (generated, real) = ((normal("generated", 50, 6) * 1.3).unwrap(), normal("real", 50, 6));
        let all = kernel_distance_of_all(&generated, &real).unwrap();
        let subsets = kernel_distance(&generated, &real, cfg(3, 50), &Streams::new(1)).unwrap();
        assert!((subsets.mean - all).abs() < 1e-9 && subsets.std < 1e-9, "{subsets:?}, but {all}");
    }

    #[test]
    fn subsets_estimate_the_distance_of_all() {
        let (generated, real) = ((normal("generated", 700, 6) + 0.5).unwrap(), normal("real", 900, 6));
        let all = kernel_distance_of_all(&generated, &real).unwrap();
        let estimate = |seed| kernel_distance(&generated, &real, cfg(100, 60), &Streams::new(seed)).unwrap();
        let first = estimate(1);
        assert!((first.mean - all).abs() < 4.0 * first.std / 10.0, "{first:?}, but {all}");
        assert_eq!(first, estimate(1));
        assert_ne!(first, estimate(2));
    }

    #[test]
    fn equal_distributions_are_at_no_distance_on_average() {
        let estimate = kernel_distance(
            &normal("generated", 1000, 8),
            &normal("real", 1000, 8),
            cfg(50, 100),
            &Streams::new(1),
        );
        let KernelDistance { mean, std } = estimate.unwrap();
        assert!(mean.abs() < std, "{mean} ± {std}");
    }

    #[test]
    fn bad_settings_are_named() {
        let (generated, real, streams) = (normal("generated", 20, 2), normal("real", 10, 2), Streams::new(1));
        for (cfg, name) in [(cfg(1, 5), "subsets"), (cfg(2, 11), "subset_size"), (cfg(2, 1), "subset_size")] {
            let got = kernel_distance(&generated, &real, cfg, &streams);
            assert!(matches!(got, Err(Error::InvalidConfig { field, .. }) if field == name));
        }
        let other = kernel_distance_of_all(&generated, &normal("real", 10, 3));
        assert!(matches!(other, Err(Error::Shape { .. })));
    }
}
