//! Fréchet distance of the pixels themselves, halved once.

use std::sync::OnceLock;

use candle_core::{Device, Tensor};
use rayon::prelude::*;

use super::picture::{MIN_PX, Picture, Size, rows_of_pictures};
use crate::gaussian::{eigen_of_root, scatter};
use crate::groups::rows_by_group;
use crate::rows::Rows;
use crate::{Error, Estimate, Result};

/// Eigenvalues of the root below this share of the largest count as rounding, whose own size is about 1e-8 of
/// it.
const NEGLIGIBLE: f64 = 1e-7;
/// Rows of a root below this share of the largest are rounding.
const EMPTY: f64 = 1e-8;
/// Real images whose products with the pictures are in memory at once.
const BLOCK_ROWS: usize = 1024;

/// Pictures `(n, channels, h, w)` smoothed by the binomial filter `(1, 4, 6, 4, 1) / 16` along both sides, mirrored at the
/// edges, and every second pixel of every second row taken: `(n, channels, ⌈h/2⌉, ⌈w/2⌉)`, `f32`.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use cccm_eval::halved;
///
/// let edge = Tensor::new(&[[[[0f32, 0.0, 1.0, 1.0]; 4]]], &Device::Cpu)?;
/// let half = halved(&edge)?.flatten_all()?.to_vec1::<f32>()?;
/// // Around the first pixel lie 1 0 0 0 1, as the edge mirrors; around the third 0 0 1 1 1.
/// assert_eq!(half, [0.125, 0.6875, 0.125, 0.6875]);
/// # Ok::<(), cccm_eval::Error>(())
/// ```
/// # Errors
/// [`Error::Shape`] for sides below 3 pixels, [`Error::NonFinite`].
pub fn halved(pictures: &Tensor) -> Result<Tensor> {
    let (rows, size) = rows_of_pictures("pictures", pictures, MIN_PX)?;
    let (channels, h, w) = size;
    let shape = (rows.len(), channels, h.div_ceil(2), w.div_ceil(2));
    let half = |row: &[f32]| Picture { size, values: row.to_vec() }.halved().values;
    let values: Vec<f32> = rows.par_iter().flat_map_iter(half).collect();
    Ok(Tensor::from_vec(values, shape, &Device::Cpu)?)
}

/// Real images, for the Fréchet distance of raw pixels after one halving ([`halved`]): their mean and covariance over all
/// positions and channels, compared with those of pictures as
/// [`GaussianStats::frechet_distance`](crate::GaussianStats::frechet_distance) does.
///
/// Colour casts, veils and grain show here. It does not see detail that the halving removes. Of the
/// distribution it sees only mean and covariance at fixed positions, so a right picture at another position
/// is as far off as a wrong one.
#[derive(Debug)]
pub struct PixelFrechet {
    size: Size,
    rows: Rows,
    mean: Vec<f64>,
    variance: f64,
    /// A root of the covariance, computed when it is first needed: that of large images would not fit in
    /// memory.
    root: OnceLock<Tensor>,
}

/// What the covariance of pictures shares with that of the real images.
struct Overlap {
    /// Trace of the root of the product of both covariances.
    trace: f64,
    /// For each picture, how fast twice the trace grows with the picture's weight.
    pulls: Vec<f64>,
}

impl PixelFrechet {
    /// - `real`: `(m, channels, h, w)`, in `[-1, 1]`, at least two, with sides of at least 3 pixels
    ///
    /// # Errors
    /// [`Error::Shape`], [`Error::TooFewRows`], [`Error::NonFinite`].
    pub fn new(real: &Tensor) -> Result<Self> {
        let half = halved(real)?;
        let rows = Rows::new("real images", &half)?.at_least(2)?;
        let mean = rows.mean();
        let variance = variance(&rows, &mean);
        Ok(Self { size: size(real)?, rows, mean, variance, root: OnceLock::new() })
    }

    /// The distance of pictures, and its standard error, which tells of which pictures happened to be drawn.
    /// - `pictures`: `(n, channels, h, w)`, in `[-1, 1]`, at least two, of the real images' size
    /// - `groups`: the group of each picture, such as its pair of labels
    ///
    /// The error is what a bootstrap over the pictures within each group tends to (the infinitesimal jackknife of Efron 1982,
    /// chapter 6): of each picture it asks how fast the distance changes with its weight. That takes the eigenvectors of one
    /// matrix where each resample would take the eigenvalues of another.
    ///
    /// The distance shrinks as `n` grows: compare equal numbers only.
    ///
    /// # Errors
    /// [`Error::Shape`], [`Error::TooFewRows`], [`Error::NonFinite`], [`Error::Groups`].
    pub fn distance(&self, pictures: &Tensor, groups: &[usize]) -> Result<Estimate> {
        if size(pictures)? != self.size {
            let want = format!("(n, {:?}), as the real images", self.size);
            return Err(Error::Shape { what: "pictures", got: pictures.dims().to_vec(), want });
        }
        let rows = Rows::new("pictures", &halved(pictures)?)?.at_least(2)?;
        let by_group = rows_by_group(&rows, groups)?;
        let mean = rows.mean();
        let centred = centred(&rows, &mean)?;
        // The smaller of two matrices that have the same eigenvalues.
        let overlap = if rows.len() <= rows.dim() {
            self.overlap_by_pictures(&centred)?
        } else {
            self.overlap_by_pixels(&centred)?
        };
        let shift: Vec<f64> = mean.iter().zip(&self.mean).map(|(ours, real)| ours - real).collect();
        let means = shift.iter().map(|shift| shift * shift).sum::<f64>();
        let distance = (means + variance(&rows, &mean) + self.variance - 2.0 * overlap.trace).max(0.0);

        let influence = |(row, pull): (&[f32], &f64)| {
            let from_mean = row.iter().zip(&mean).map(|(value, mean)| f64::from(*value) - mean);
            let along = from_mean.zip(&shift);
            along.map(|(value, shift)| value * (2.0 * shift + value)).sum::<f64>() - pull
        };
        let influences: Vec<f64> = rows.iter().zip(&overlap.pulls).map(influence).collect();
        let squares = |members: &Vec<usize>| {
            let mean = members.iter().map(|row| influences[*row]).sum::<f64>() / members.len() as f64;
            members.iter().map(|row| (influences[*row] - mean).powi(2)).sum::<f64>()
        };
        let error = by_group.values().map(squares).sum::<f64>().sqrt() / rows.len() as f64;
        Ok(Estimate::normal(distance, error))
    }

    /// With `A` the centred pictures and `R` a root of the real covariance, `Rᵀ R = C`: the matrix is `R Aᵀ A Rᵀ / (n - 1)`,
    /// and a picture's pull `y M^-½ yᵀ` with `y` its row of `A Rᵀ`.
    fn overlap_by_pixels(&self, centred: &Tensor) -> Result<Overlap> {
        let (n, _) = centred.dims2()?;
        let projected = centred.matmul(&self.root()?.t()?)?;
        let product = (projected.t()?.matmul(&projected)? / (n - 1) as f64)?;
        let (roots, vectors) = eigen_of_root(&product)?;
        let along: Vec<f64> = projected.matmul(&vectors.t()?)?.flatten_all()?.to_vec1()?;
        let least = NEGLIGIBLE * roots.iter().fold(0.0, |most: f64, root| most.max(*root));
        let pull = |row: &[f64]| {
            let parts = row.iter().zip(&roots).filter(|(_, root)| **root > least);
            parts.map(|(along, root)| along * along / root).sum::<f64>()
        };
        let pulls = along.chunks_exact(roots.len()).map(pull).collect();
        Ok(Overlap { trace: roots.iter().sum(), pulls })
    }

    /// The same by `A C Aᵀ / (n - 1)`, whose eigenvectors have an entry for each picture: no covariance is ever made.
    fn overlap_by_pictures(&self, centred: &Tensor) -> Result<Overlap> {
        let ((n, _), m) = (centred.dims2()?, self.rows.len());
        let mut product = Tensor::zeros((n, n), candle_core::DType::F64, &Device::Cpu)?;
        for start in (0..m).step_by(BLOCK_ROWS) {
            let block = centred_block(&self.rows, &self.mean, start, BLOCK_ROWS.min(m - start))?;
            let products = centred.matmul(&block.t()?)?;
            product = (product + products.matmul(&products.t()?)?)?;
        }
        let (roots, vectors) = eigen_of_root(&(product / ((n - 1) * (m - 1)) as f64)?)?;
        let mut pulls = vec![0f64; n];
        for (vector, root) in vectors.flatten_all()?.to_vec1::<f64>()?.chunks_exact(n).zip(&roots) {
            let weight = (n - 1) as f64 * root;
            pulls.iter_mut().zip(vector).for_each(|(pull, entry)| *pull += weight * entry * entry);
        }
        Ok(Overlap { trace: roots.iter().sum(), pulls })
    }

    fn root(&self) -> Result<&Tensor> {
        if let Some(root) = self.root.get() {
            return Ok(root);
        }
        let scatter = scatter(self.rows.len(), self.rows.dim(), |index, out| {
            let values = self.rows.row(index).iter().zip(&self.mean);
            out.iter_mut().zip(values).for_each(|(out, (value, mean))| *out = f64::from(*value) - mean);
        })?;
        let covariance = (scatter / (self.rows.len() - 1) as f64)?;
        let (roots, vectors) = eigen_of_root(&covariance)?;
        // What is black in all real images makes many empty rows.
        let least = EMPTY * roots.iter().fold(0.0, |most: f64, root| most.max(*root));
        let kept: Vec<u32> =
            (0..roots.len()).filter(|row| roots[*row] >= least).map(|row| row as u32).collect();
        let factors: Vec<f64> = kept.iter().map(|row| roots[*row as usize]).collect();
        let count = kept.len();
        let vectors = vectors.index_select(&Tensor::from_vec(kept, count, &Device::Cpu)?, 0)?;
        let root = vectors.broadcast_mul(&Tensor::from_vec(factors, (count, 1), &Device::Cpu)?)?;
        Ok(self.root.get_or_init(|| root))
    }
}

fn size(pictures: &Tensor) -> Result<Size> {
    let (_, channels, h, w) = pictures.dims4()?;
    Ok((channels, h, w))
}

/// Sum of the variances.
fn variance(rows: &Rows, mean: &[f64]) -> f64 {
    let square = |(value, mean): (&f32, &f64)| (f64::from(*value) - mean).powi(2);
    let squares = rows.iter().map(|row| row.iter().zip(mean).map(square).sum::<f64>()).sum::<f64>();
    squares / (rows.len() - 1) as f64
}

/// Rows minus their mean, `(n, dim)`, `f64`.
fn centred(rows: &Rows, mean: &[f64]) -> Result<Tensor> {
    centred_block(rows, mean, 0, rows.len())
}

fn centred_block(rows: &Rows, mean: &[f64], start: usize, len: usize) -> Result<Tensor> {
    let block = (start..start + len).flat_map(|index| rows.row(index).iter().zip(mean));
    let values: Vec<f64> = block.map(|(value, mean)| f64::from(*value) - mean).collect();
    Ok(Tensor::from_vec(values, (len, rows.dim()), &Device::Cpu)?)
}

#[cfg(test)]
mod tests {
    use cccm_sched::Streams;

    use super::*;
    use crate::{GaussianStats, frechet_distance, frechet_standard_error};

    /// Pictures of 3×8×8, hence 48 pixels when halved, which vary together and apart; the last column is black.
    fn pictures(purpose: &str, n: u64, scale: f64) -> Tensor {
        let draws = Streams::new(3).draws(0, 0..n);
        let apart = draws.normal(purpose, &[3, 8, 7]).unwrap();
        let together = draws.normal(&format!("{purpose} together"), &[3, 1, 1]).unwrap();
        let pictures = ((apart * (0.3 * scale)).unwrap().broadcast_add(&(together * 0.5).unwrap())).unwrap();
        let black = Tensor::full(-1f32, (n as usize, 3, 8, 1), &Device::Cpu).unwrap();
        Tensor::cat(&[pictures, black], 3).unwrap()
    }

    fn rows(pictures: &Tensor) -> Tensor {
        halved(pictures).unwrap().flatten_from(1).unwrap()
    }

    #[test]
    fn it_is_the_frechet_distance_of_halved_pictures_however_many_there_are() {
        let real = pictures("real", 300, 1.0);
        let reference = PixelFrechet::new(&real).unwrap();
        for n in [20, 48, 49, 200] {
            let ours = pictures("ours", n, 1.4);
            let want = frechet_distance(&rows(&ours), &rows(&real)).unwrap();
            let got = reference.distance(&ours, &vec![0; n as usize]).unwrap().value;
            assert!((got - want).abs() < 1e-6 * want, "{n} pictures: {got}, but {want}");
        }
    }

    #[test]
    fn both_ways_pull_alike() {
        let reference = PixelFrechet::new(&pictures("real", 300, 1.0)).unwrap();
        let ours = Rows::new("ours", &rows(&pictures("ours", 40, 1.4))).unwrap();
        let centred = centred(&ours, &ours.mean()).unwrap();
        let [one, other] = [reference.overlap_by_pixels(&centred), reference.overlap_by_pictures(&centred)]
            .map(Result::unwrap);
        assert!((one.trace - other.trace).abs() < 1e-6 * one.trace);
        for (one, other) in one.pulls.iter().zip(&other.pulls) {
            assert!((one - other).abs() < 1e-5 * one.abs(), "{one} {other}");
        }
    }

    #[test]
    fn its_error_is_that_of_a_bootstrap_and_of_other_pictures() {
        let real = pictures("real", 1000, 1.0);
        let reference = PixelFrechet::new(&real).unwrap();
        let groups: Vec<usize> = (0..300).map(|row| row % 3).collect();
        let of = |purpose: &str| reference.distance(&pictures(purpose, 300, 1.4), &groups).unwrap();
        let got = of("ours").standard_error;
        let stats = GaussianStats::new(&rows(&real)).unwrap();
        let ours = rows(&pictures("ours", 300, 1.4));
        let bootstrap = frechet_standard_error(&ours, &groups, &stats, 200, &Streams::new(1)).unwrap();
        let distances: Vec<f64> = (0..60).map(|i| of(&format!("sample {i}")).value).collect();
        let spread = Estimate::of_mean(&distances).unwrap().standard_error * 60f64.sqrt();
        // Both are found to a tenth, and to first order only.
        assert!((0.7..1.4).contains(&(got / spread)), "{got}, but {spread}");
        assert!((0.7..1.4).contains(&(got / bootstrap)), "{got}, but {bootstrap}");
    }

    #[test]
    fn real_images_may_all_be_the_same() {
        let black = Tensor::full(-1f32, (10, 3, 8, 8), &Device::Cpu).unwrap();
        let reference = PixelFrechet::new(&black).unwrap();
        for n in [20, 60] {
            let ours = pictures("ours", n, 1.0);
            let got = reference.distance(&ours, &vec![0; n as usize]).unwrap();
            let stats = GaussianStats::new(&rows(&ours)).unwrap();
            let means = stats.mean().iter().map(|mean| (mean + 1.0).powi(2)).sum::<f64>();
            let want = means + stats.total_variance().unwrap();
            assert!(
                (got.value - want).abs() < 1e-9 * want && got.standard_error > 0.0,
                "{got:?}, but {want}"
            );
        }
    }

    #[test]
    fn groups_keep_their_share() {
        // What differs between groups does not vary with which pictures of each are drawn.
        let flat = |level: f32| Tensor::full(level, (10, 3, 8, 8), &Device::Cpu).unwrap();
        let ours = Tensor::cat(&[flat(-0.5), flat(0.5)], 0).unwrap();
        let reference = PixelFrechet::new(&pictures("real", 300, 1.0)).unwrap();
        let groups: Vec<usize> = (0..20).map(|row| row / 10).collect();
        assert!(reference.distance(&ours, &groups).unwrap().standard_error < 1e-6);
        assert!(reference.distance(&ours, &[0; 20]).unwrap().standard_error > 0.1);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let reference = PixelFrechet::new(&pictures("real", 30, 1.0)).unwrap();
        let other = Tensor::zeros((9, 3, 10, 8), candle_core::DType::F32, &Device::Cpu).unwrap();
        assert!(matches!(reference.distance(&other, &[0; 9]), Err(Error::Shape { .. })));
        let ours = pictures("ours", 9, 1.0);
        assert!(matches!(reference.distance(&ours, &[0; 8]), Err(Error::Groups { got: 8, want: 9, .. })));
        let one = ours.narrow(0, 0, 1).unwrap();
        assert!(matches!(reference.distance(&one, &[0]), Err(Error::TooFewRows { got: 1, .. })));
        assert!(matches!(PixelFrechet::new(&one), Err(Error::TooFewRows { .. })));
    }
}
