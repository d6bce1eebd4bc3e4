//! Mean and covariance of features.

use candle_core::{DType, Device, Tensor};
use nalgebra::{DMatrix, DVector};

use crate::rows::Rows;
use crate::{Error, Result};

/// The Gaussian that the Fréchet distance puts in the place of a set of features: their mean and covariance.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use cccm_eval::GaussianStats;
///
/// let features = Tensor::new(&[[0f32, 1.0], [2.0, 1.0], [4.0, 4.0]], &Device::Cpu)?;
/// let stats = GaussianStats::new(&features)?;
/// assert_eq!(stats.mean(), [2.0, 2.0]);
/// assert_eq!(stats.covariance().to_vec2::<f64>()?, [[4.0, 3.0], [3.0, 3.0]]);
/// # Ok::<(), cccm_eval::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct GaussianStats {
    mean: Vec<f64>,
    covariance: Tensor,
}

impl GaussianStats {
    /// The Gaussian of `features`, `(n, d)`, float, with `n` at least 2. The covariance is the unbiased one,
    /// as `numpy.cov` gives it. With fewer than `d + 1` rows it is singular, which [`Self::frechet_distance`]
    /// can handle.
    ///
    /// # Errors
    /// [`Error::Shape`], [`Error::TooFewRows`], [`Error::NonFinite`].
    pub fn new(features: &Tensor) -> Result<Self> {
        Self::of_rows(&Rows::new("features", features)?.at_least(2)?)
    }

    pub(crate) fn of_rows(rows: &Rows) -> Result<Self> {
        let (n, mean) = (rows.len(), rows.mean());
        let scatter = scatter(n, rows.dim(), |index, centred| {
            let values = rows.row(index).iter().zip(&mean);
            centred.iter_mut().zip(values).for_each(|(out, (value, mean))| *out = f64::from(*value) - mean);
        })?;
        Ok(Self { mean, covariance: (scatter / (n - 1) as f64)? })
    }

    /// Of a known mean, `(d,)`, and covariance, `(d, d)`, such as published statistics of a dataset. The covariance
    /// must be symmetric and positive semidefinite, which is not checked.
    ///
    /// # Errors
    /// [`Error::Shape`] when the covariance has another size than the mean; [`Error::NonFinite`].
    pub fn from_moments(mean: Vec<f64>, covariance: &Tensor) -> Result<Self> {
        let dim = mean.len();
        if dim == 0 || covariance.dims() != [dim, dim] {
            let want = format!("({dim}, {dim}) for a mean of {dim} numbers, at least 1");
            return Err(Error::Shape { what: "covariance", got: covariance.dims().to_vec(), want });
        }
        let covariance = covariance.to_dtype(DType::F64)?.to_device(&Device::Cpu)?;
        let rows = covariance.to_vec2::<f64>()?;
        let row = rows.iter().chain([&mean]).position(|row| row.iter().any(|value| !value.is_finite()));
        if let Some(row) = row {
            return Err(Error::NonFinite { what: "covariance and mean", row });
        }
        Ok(Self { mean, covariance })
    }

    /// Number of features.
    pub fn dim(&self) -> usize {
        self.mean.len()
    }

    /// Mean of each feature, `(d,)`.
    pub fn mean(&self) -> &[f64] {
        &self.mean
    }

    /// Covariance, `(d, d)`, `f64` on the CPU.
    pub fn covariance(&self) -> &Tensor {
        &self.covariance
    }

    /// Sum of all variances.
    pub(crate) fn total_variance(&self) -> Result<f64> {
        Ok((0..self.dim())
            .map(|i| self.covariance.get(i)?.get(i)?.to_scalar::<f64>())
            .sum::<Result<_, _>>()?)
    }

    /// A matrix `R`, `(d, d)`, with `Rᵀ R` the covariance.
    pub(crate) fn root(&self) -> Result<Tensor> {
        let (roots, vectors) = eigen_of_root(&self.covariance)?;
        Ok(vectors.broadcast_mul(&Tensor::from_vec(roots, (self.dim(), 1), &Device::Cpu)?)?)
    }
}

/// Sum over `n` rows of `row rowᵀ`, `(dim, dim)`; `fill` writes a row.
pub(crate) fn scatter(n: usize, dim: usize, fill: impl Fn(usize, &mut [f64])) -> Result<Tensor> {
    // Enough for a matrix product to be at its best, and little memory beside the features.
    const BLOCK_ROWS: usize = 1024;
    let mut sum = Tensor::zeros((dim, dim), DType::F64, &Device::Cpu)?;
    for start in (0..n).step_by(BLOCK_ROWS) {
        let len = BLOCK_ROWS.min(n - start);
        let mut block = vec![0f64; len * dim];
        block.chunks_exact_mut(dim).enumerate().for_each(|(i, row)| fill(start + i, row));
        let block = Tensor::from_vec(block, (len, dim), &Device::Cpu)?;
        sum = (sum + block.t()?.matmul(&block)?)?;
    }
    Ok(sum)
}

/// Trace of the square root of a symmetric positive semidefinite matrix, `(d, d)`, `f64`.
pub(crate) fn trace_of_root(symmetric: &Tensor) -> Result<f64> {
    let matrix = matrix(symmetric)?;
    let trace = matrix.trace();
    Ok(roots(&matrix.symmetric_eigenvalues(), trace)?.iter().sum())
}

/// Eigenvalues of the square root of a symmetric positive semidefinite matrix, `(d, d)`, `f64`, and its eigenvectors, each a
/// row of a matrix of the same shape.
pub(crate) fn eigen_of_root(symmetric: &Tensor) -> Result<(Vec<f64>, Tensor)> {
    let matrix = matrix(symmetric)?;
    let trace = matrix.trace();
    let eigen = matrix.symmetric_eigen();
    // nalgebra stores matrices column by column; read row by row, that is the transpose.
    let vectors = Tensor::from_vec(eigen.eigenvectors.as_slice().to_vec(), symmetric.shape(), &Device::Cpu)?;
    Ok((roots(&eigen.eigenvalues, trace)?, vectors))
}

/// A symmetric matrix for nalgebra.
fn matrix(symmetric: &Tensor) -> Result<DMatrix<f64>> {
    // Far below rounding. Where a pixel is black in all images, entries of 1e-100 arise. Their squares
    // underflow in nalgebra's algorithm, which would divide by them.
    const NOTHING: f64 = 1e-30;
    let (dim, _) = symmetric.dims2()?;
    let mut values: Vec<f64> = symmetric.flatten_all()?.to_vec1()?;
    if values.iter().any(|value| !value.is_finite()) {
        return Err(Error::Eigenvalues);
    }
    let least = NOTHING * values.iter().fold(0.0, |most: f64, value| most.max(value.abs()));
    values.iter_mut().filter(|value| value.abs() < least).for_each(|value| *value = 0.0);
    Ok(DMatrix::from_vec(dim, dim, values))
}

/// Square roots of eigenvalues. Where a covariance is singular, rounding makes some of its zeros negative.
/// - `trace`: of the matrix, which its eigenvalues add up to if they are right
fn roots(eigenvalues: &DVector<f64>, trace: f64) -> Result<Vec<f64>> {
    const TOLERANCE: f64 = 1e-6;
    let off = (eigenvalues.sum() - trace).abs();
    if off.is_nan() || off > TOLERANCE * trace.abs() {
        return Err(Error::Eigenvalues);
    }
    Ok(eigenvalues.iter().map(|value| value.max(0.0).sqrt()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A covariance as black corners leave it behind: blocks that are as good as nothing.
    #[test]
    fn entries_beyond_all_numbers_do_no_harm() {
        let size = |i: usize| if i < 3 { 1.0 } else { 1e-160 };
        let entry = |at: usize| {
            let (i, j) = (at / 8, at % 8);
            size(i) * size(j) * if i == j { 2.0 } else { 1.0 }
        };
        let matrix = Tensor::from_vec((0..64).map(entry).collect::<Vec<_>>(), (8, 8), &Device::Cpu).unwrap();
        // 1 + J of size 3: eigenvalues 4, 1, 1.
        assert!((trace_of_root(&matrix).unwrap() - 4.0).abs() < 1e-12);
        let (roots, vectors) = eigen_of_root(&matrix).unwrap();
        assert!((roots.iter().sum::<f64>() - 4.0).abs() < 1e-12);
        let product = vectors.matmul(&vectors.t().unwrap()).unwrap();
        let off = (product - Tensor::eye(8, DType::F64, &Device::Cpu).unwrap()).unwrap().abs().unwrap();
        assert!(off.max_all().unwrap().to_scalar::<f64>().unwrap() < 1e-12);
    }

    #[test]
    fn what_has_no_eigenvalues_is_an_error() {
        let matrix = Tensor::full(f64::NAN, (2, 2), &Device::Cpu).unwrap();
        assert!(matches!(trace_of_root(&matrix), Err(Error::Eigenvalues)));
    }
}
