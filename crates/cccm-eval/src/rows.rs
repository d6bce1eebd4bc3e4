//! Feature vectors or images as rows of numbers, checked once.

use candle_core::{DType, Tensor};
use rayon::prelude::*;

use crate::{Error, Result};

/// The rows of a tensor, in memory that loops can walk.
#[derive(Clone, Debug)]
pub(crate) struct Rows {
    what: &'static str,
    values: Vec<f32>,
    dim: usize,
}

impl Rows {
    /// The rows of `(n, …)`; whatever follows the first axis is one row. `what` names them in errors.
    pub(crate) fn new(what: &'static str, tensor: &Tensor) -> Result<Self> {
        let dim = tensor.dims().iter().skip(1).product::<usize>();
        if tensor.rank() < 2 || dim == 0 {
            let want = "one row of at least one number per sample: `(n, d)`".to_owned();
            return Err(Error::Shape { what, got: tensor.dims().to_vec(), want });
        }
        let values = tensor.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?;
        let rows = Self { what, values, dim };
        let bad_row = rows.iter().position(|row| row.iter().any(|value| !value.is_finite()));
        match bad_row {
            Some(row) => Err(Error::NonFinite { what, row }),
            None => Ok(rows),
        }
    }

    /// These, if there are enough of them.
    pub(crate) fn at_least(self, want: usize) -> Result<Self> {
        if self.len() < want {
            return Err(Error::TooFewRows { what: self.what, got: self.len(), want });
        }
        Ok(self)
    }

    /// These, if they are as long as those of `others`.
    pub(crate) fn with_dim_of(self, others: &Self) -> Result<Self> {
        if self.dim != others.dim {
            let want = format!("rows of {} numbers, as {} has", others.dim, others.what);
            return Err(Error::Shape { what: self.what, got: vec![self.len(), self.dim], want });
        }
        Ok(self)
    }

    pub(crate) fn what(&self) -> &'static str {
        self.what
    }

    pub(crate) fn len(&self) -> usize {
        self.values.len() / self.dim
    }

    pub(crate) fn dim(&self) -> usize {
        self.dim
    }

    /// Mean of each number, `(dim,)`.
    pub(crate) fn mean(&self) -> Vec<f64> {
        let mut mean = vec![0f64; self.dim];
        for row in self.iter() {
            mean.iter_mut().zip(row).for_each(|(sum, value)| *sum += f64::from(*value));
        }
        for sum in &mut mean {
            *sum /= self.len() as f64;
        }
        mean
    }

    pub(crate) fn row(&self, index: usize) -> &[f32] {
        &self.values[index * self.dim..(index + 1) * self.dim]
    }

    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = &[f32]> {
        self.values.chunks_exact(self.dim)
    }

    pub(crate) fn par_iter(&self) -> impl IndexedParallelIterator<Item = &[f32]> {
        self.values.par_chunks_exact(self.dim)
    }
}

/// `|a - b|²`.
///
/// Not `|a|² + |b|² - 2ab`: equal rows are at distance 0 exactly, and either order gives the same bits.
pub(crate) fn squared_distance(a: &[f32], b: &[f32]) -> f64 {
    // Side by side in registers; short enough sums that `f32` is good to 1e-6.
    const LANES: usize = 16;
    const RUN: usize = 64 * LANES;
    let square = |(a, b): (&f32, &f32)| (a - b) * (a - b);
    let run = |(a, b): (&[f32], &[f32])| {
        let (a_chunks, b_chunks) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
        let rest: f32 = a_chunks.remainder().iter().zip(b_chunks.remainder()).map(square).sum();
        let mut lanes = [0f32; LANES];
        for (a, b) in a_chunks.zip(b_chunks) {
            for (lane, pair) in lanes.iter_mut().zip(a.iter().zip(b)) {
                *lane += square(pair);
            }
        }
        f64::from(rest) + lanes.iter().copied().map(f64::from).sum::<f64>()
    };
    a.chunks(RUN).zip(b.chunks(RUN)).map(run).sum()
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    #[test]
    fn rows_are_what_follows_the_first_axis() {
        let tensor = Tensor::arange(0f32, 12.0, &Device::Cpu).unwrap().reshape((2, 3, 2)).unwrap();
        let rows = Rows::new("images", &tensor).unwrap();
        assert_eq!((rows.len(), rows.dim()), (2, 6));
        assert_eq!(rows.row(1), [6.0, 7.0, 8.0, 9.0, 10.0, 11.0]);
    }

    #[test]
    fn bad_rows_are_named() {
        let cpu = &Device::Cpu;
        let flat = Rows::new("features", &Tensor::zeros(3, DType::F32, cpu).unwrap());
        assert!(matches!(flat, Err(Error::Shape { what: "features", .. })));
        let nan = Rows::new("features", &Tensor::new(&[[0f32, 1.0], [f32::NAN, 0.0]], cpu).unwrap());
        assert!(matches!(nan, Err(Error::NonFinite { row: 1, .. })));
        let two = Rows::new("features", &Tensor::zeros((2, 4), DType::F32, cpu).unwrap()).unwrap();
        let long = Rows::new("real", &Tensor::zeros((2, 5), DType::F32, cpu).unwrap()).unwrap();
        assert!(matches!(two.clone().with_dim_of(&long), Err(Error::Shape { .. })));
        assert!(matches!(two.at_least(3), Err(Error::TooFewRows { got: 2, want: 3, .. })));
    }

    #[test]
    fn distances_are_sums_of_squares_whatever_the_length() {
        for len in [1, 15, 16, 17, 1024, 1025, 3072] {
            let a: Vec<f32> = (0..len).map(|i| (i % 7) as f32).collect();
            let b: Vec<f32> = (0..len).map(|i| (i % 5) as f32 - 1.0).collect();
            let want: f64 = (0..len).map(|i| f64::from(i % 7 - (i % 5 - 1)).powi(2)).sum();
            assert_eq!(squared_distance(&a, &b), want, "{len}");
        }
    }
}
