//! Fréchet distance between Gaussians, and how much it varies with the generated images.

use candle_core::Tensor;
use cccm_sched::Streams;
use rayon::prelude::*;

use crate::gaussian::{GaussianStats, scatter, trace_of_root};
use crate::groups::{resampled, rows_by_group};
use crate::rows::Rows;
use crate::{Error, Result};

impl GaussianStats {
    /// Squared Fréchet distance between two Gaussians,
    /// `|m_1 - m_2|² + tr(C_1 + C_2 - 2 (C_1^½ C_2 C_1^½)^½)` (Dowson and Landau 1982; with the features of
    /// Inception-v3 this is the FID of Heusel et al. 2017, eq. 6, who write `(C_1 C_2)^½`: the trace is the same, but
    /// this product is symmetric, so that its root is real also where a covariance is singular).
    ///
    /// At least 0, and 0 for equal Gaussians, to rounding: about 1e-8 of the variances per feature.
    ///
    /// # Errors
    /// [`Error::Shape`] when the two have different numbers of features.
    pub fn frechet_distance(&self, other: &Self) -> Result<f64> {
        if self.dim() != other.dim() {
            let want = format!("{} features, as the other set", self.dim());
            return Err(Error::Shape { what: "one set of features", got: vec![other.dim()], want });
        }
        let root = self.root()?;
        let product = root.matmul(other.covariance())?.matmul(&root.t()?)?;
        let variances = self.total_variance()? + other.total_variance()?;
        let means = self.mean().iter().zip(other.mean()).map(|(a, b)| (a - b).powi(2)).sum::<f64>();
        Ok((means + variances - 2.0 * trace_of_root(&product)?).max(0.0))
    }
}

/// Fréchet distance ([`GaussianStats::frechet_distance`]) between generated and real features, each `(n, d)`, float.
///
/// It shrinks as `n` grows, so that only distances from equally many images compare.
///
/// ```
/// use cccm_eval::frechet_distance;
/// use cccm_sched::Streams;
///
/// let real = Streams::new(1).draws(0, 0..500).normal("real", &[8])?;
/// let shifted = (&real + 2.0)?;
/// assert!((frechet_distance(&shifted, &real)? - 8.0 * 2.0f64.powi(2)).abs() < 1e-3);
/// # Ok::<(), cccm_eval::Error>(())
/// ```
/// # Errors
/// As [`GaussianStats::new`] and [`GaussianStats::frechet_distance`].
pub fn frechet_distance(generated: &Tensor, real: &Tensor) -> Result<f64> {
    GaussianStats::new(generated)?.frechet_distance(&GaussianStats::new(real)?)
}

/// Standard error of the Fréchet distance between generated features and `real` that comes from which images were
/// generated: the standard deviation of the distance over bootstrap resamples of the generated rows (Efron 1979).
/// - `generated`: `(n, d)`, float
/// - `groups`: the group of each row, such as its pair of labels; every resample has as many rows of each
/// - `resamples`: at least 2; 100 give the standard error to about 7 %
///
/// Of the bootstrap only the spread is used. Its mean is of no use: a resample repeats rows, which narrows its
/// covariance, so that it lies further from the real features than the sample itself.
///
/// # Errors
/// [`Error::InvalidConfig`] for fewer than 2 resamples; [`Error::Shape`], [`Error::TooFewRows`],
/// [`Error::NonFinite`], [`Error::Groups`].
pub fn frechet_standard_error(
    generated: &Tensor,
    groups: &[usize],
    real: &GaussianStats,
    resamples: usize,
    streams: &Streams,
) -> Result<f64> {
    if resamples < 2 {
        return Err(Error::invalid("resamples", resamples, "at least 2"));
    }
    let rows = Rows::new("generated features", generated)?.at_least(2)?;
    let by_group = rows_by_group(&rows, groups)?;
    let source = Resampled::new(&rows, real)?;
    let distances = (0..resamples as u64)
        .into_par_iter()
        .map(|resample| {
            let rng = |group: usize| streams.stream("frechet_resample", resample, group as u64);
            source.distance(&resampled(&by_group, rows.len(), rng))
        })
        .collect::<Result<Vec<_>>>()?;
    let mean = distances.iter().sum::<f64>() / resamples as f64;
    let squares = distances.iter().map(|distance| (distance - mean).powi(2)).sum::<f64>();
    Ok((squares / (resamples - 1) as f64).sqrt())
}

/// Generated features prepared such that a resample costs one product of matrices and one set of eigenvalues.
struct Resampled {
    dim: usize,
    /// Rows minus the mean of the real features, `(n, d)`.
    from_real: Vec<f64>,
    /// These rows times `Rᵀ`, where `Rᵀ R` is the real covariance. Their covariance is the matrix `R C Rᵀ`
    /// whose root is needed.
    projected: Vec<f64>,
    real_variance: f64,
}

impl Resampled {
    fn new(rows: &Rows, real: &GaussianStats) -> Result<Self> {
        let dim = rows.dim();
        if dim != real.dim() {
            let want = format!("rows of {} numbers, as the real features", real.dim());
            return Err(Error::Shape { what: rows.what(), got: vec![rows.len(), dim], want });
        }
        let from_real: Vec<f64> = rows
            .iter()
            .flat_map(|row| row.iter().zip(real.mean()).map(|(value, mean)| f64::from(*value) - mean))
            .collect();
        let centred = Tensor::from_slice(&from_real, (rows.len(), dim), real.covariance().device())?;
        let projected = centred.matmul(&real.root()?.t()?)?.flatten_all()?.to_vec1()?;
        Ok(Self { dim, from_real, projected, real_variance: real.total_variance()? })
    }

    /// Distance of the sample in which row `i` stands `counts[i]` times.
    fn distance(&self, counts: &[u32]) -> Result<f64> {
        let n = f64::from(counts.iter().sum::<u32>());
        let drawn = || counts.iter().enumerate().filter(|(_, count)| **count > 0);
        let mean_of = |values: &[f64]| {
            let mut mean = vec![0f64; self.dim];
            for (row, count) in drawn() {
                let weight = f64::from(*count) / n;
                let row = &values[row * self.dim..][..self.dim];
                mean.iter_mut().zip(row).for_each(|(sum, value)| *sum += weight * value);
            }
            mean
        };
        let mean = mean_of(&self.from_real);
        let variance = drawn().map(|(row, count)| {
            let row = self.from_real[row * self.dim..][..self.dim].iter().zip(&mean);
            f64::from(*count) * row.map(|(value, mean)| (value - mean).powi(2)).sum::<f64>()
        });
        let variance = variance.sum::<f64>() / (n - 1.0);

        let centre = mean_of(&self.projected);
        let rows: Vec<(usize, f64)> = drawn().map(|(row, count)| (row, f64::from(*count).sqrt())).collect();
        let scatter = scatter(rows.len(), self.dim, |index, out| {
            let (row, weight) = rows[index];
            let values = self.projected[row * self.dim..][..self.dim].iter().zip(&centre);
            out.iter_mut().zip(values).for_each(|(out, (value, centre))| *out = weight * (value - centre));
        })?;
        let overlap = trace_of_root(&(scatter / (n - 1.0))?)?;
        let means = mean.iter().map(|value| value * value).sum::<f64>();
        Ok((means + variance + self.real_variance - 2.0 * overlap).max(0.0))
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device};

    use super::*;

    fn normal(purpose: &str, n: u64, dim: usize) -> Tensor {
        Streams::new(3).draws(0, 0..n).normal(purpose, &[dim]).unwrap()
    }

    fn diagonal(mean: &[f64], deviations: &[f64]) -> GaussianStats {
        let dim = mean.len();
        let entry = |i: usize| if i / dim == i % dim { deviations[i % dim].powi(2) } else { 0.0 };
        let covariance: Vec<f64> = (0..dim * dim).map(entry).collect();
        let covariance = Tensor::from_vec(covariance, (dim, dim), &Device::Cpu).unwrap();
        GaussianStats::from_moments(mean.to_vec(), &covariance).unwrap()
    }

    #[test]
    fn independent_features_have_the_closed_form() {
        // Between N(m, s²) and N(m', s'²): (m - m')² + (s - s')², summed over features; a deviation of 0 is singular.
        let a = diagonal(&[0.0, 1.0, -2.0, 0.5], &[1.0, 0.5, 3.0, 0.0]);
        let b = diagonal(&[0.5, 1.0, 1.0, 0.5], &[2.0, 0.25, 0.0, 0.0]);
        let want = 0.25 + 9.0 + 1.0 + 0.0625 + 9.0;
        assert!((a.frechet_distance(&b).unwrap() - want).abs() < 1e-12);
        assert!((b.frechet_distance(&a).unwrap() - want).abs() < 1e-12);
        assert!(a.frechet_distance(&a).unwrap() < 1e-12);
    }

    #[test]
    fn other_numbers_of_features_are_refused() {
        let (a, b) = (diagonal(&[0.0], &[1.0]), diagonal(&[0.0, 0.0], &[1.0, 1.0]));
        assert!(matches!(a.frechet_distance(&b), Err(Error::Shape { .. })));
        let covariance = Tensor::zeros((2, 3), DType::F64, &Device::Cpu).unwrap();
        assert!(matches!(GaussianStats::from_moments(vec![0.0; 2], &covariance), Err(Error::Shape { .. })));
        let one = normal("one", 1, 4);
        assert!(matches!(GaussianStats::new(&one), Err(Error::TooFewRows { got: 1, want: 2, .. })));
    }

    #[test]
    fn a_resample_has_the_distance_of_the_rows_that_it_repeats() {
        let (generated, real) = ((normal("generated", 40, 6) * 1.5).unwrap(), normal("real", 60, 6));
        let counts: Vec<u32> = (0..40).map(|i| i % 3).collect();
        let rows: Vec<u32> = (0..40u32).flat_map(|i| vec![i; counts[i as usize] as usize]).collect();
        let repeated = generated.index_select(&Tensor::new(rows, &Device::Cpu).unwrap(), 0).unwrap();
        let want = frechet_distance(&repeated, &real).unwrap();
        let real = GaussianStats::new(&real).unwrap();
        let source = Resampled::new(&Rows::new("generated", &generated).unwrap(), &real).unwrap();
        let got = source.distance(&counts).unwrap();
        assert!((got - want).abs() < 1e-9 * want, "{got}, but {want}");
    }

    #[test]
    fn the_bootstrap_finds_the_spread_over_samples() {
        let real = GaussianStats::new(&normal("real", 2000, 4)).unwrap();
        let sample = |i: usize| (normal(&format!("sample {i}"), 200, 4) + 0.3).unwrap();
        let distances: Vec<f64> = (0..100)
            .map(|i| GaussianStats::new(&sample(i)).unwrap().frechet_distance(&real).unwrap())
            .collect();
        let mean = distances.iter().sum::<f64>() / 100.0;
        let spread = (distances.iter().map(|d| (d - mean).powi(2)).sum::<f64>() / 99.0).sqrt();
        let error =
            |seed| frechet_standard_error(&sample(0), &[0; 200], &real, 200, &Streams::new(seed)).unwrap();
        let ratio = error(1) / spread;
        assert!((0.7..1.4).contains(&ratio), "{ratio} of the spread");
        assert_eq!(error(1), error(1));
        assert_ne!(error(1), error(2));
    }

    #[test]
    fn a_resample_keeps_the_size_of_every_group() {
        // Each group has but one value, so that resampling within groups changes nothing.
        let groups: Vec<usize> = (0..60).map(|i| i % 3).collect();
        let values: Vec<f32> = groups.iter().flat_map(|g| [*g as f32, (g * g) as f32]).collect();
        let generated = Tensor::from_vec(values, (60, 2), &Device::Cpu).unwrap();
        let real = GaussianStats::new(&normal("real", 100, 2)).unwrap();
        let error = |groups: &[usize]| {
            frechet_standard_error(&generated, groups, &real, 20, &Streams::new(1)).unwrap()
        };
        assert!(error(&groups) < 1e-9);
        assert!(error(&[7; 60]) > 0.01);
    }

    #[test]
    fn bad_arguments_are_named() {
        let (generated, streams) = (normal("generated", 10, 2), Streams::new(1));
        let real = GaussianStats::new(&normal("real", 10, 2)).unwrap();
        let few = frechet_standard_error(&generated, &[0; 10], &real, 1, &streams);
        assert!(matches!(few, Err(Error::InvalidConfig { field: "resamples", .. })));
        let groups = frechet_standard_error(&generated, &[0; 9], &real, 2, &streams);
        assert!(matches!(groups, Err(Error::Groups { got: 9, want: 10, .. })));
        let other = GaussianStats::new(&normal("real", 10, 3)).unwrap();
        assert!(matches!(
            frechet_standard_error(&generated, &[0; 10], &other, 2, &streams),
            Err(Error::Shape { .. })
        ));
    }
}
