//! Comparison of tensors and of numbers.

use anyhow::{Result, ensure};
use candle_core::{DType, Device, Tensor};

/// How far two tensors may differ: `max |got - want| <= abs + rel * max |want|`.
///
/// `rel` is relative to the largest magnitude of the whole tensor, not of one element, because an
/// element near zero is a difference of large ones and carries their rounding.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tolerance {
    /// Allowed whatever the size of the values.
    pub abs: f64,
    /// Allowed per unit of the largest wanted magnitude.
    pub rel: f64,
}

impl Tolerance {
    /// No difference at all (`-0.0` equals `0.0`).
    pub const EXACT: Self = Self { abs: 0.0, rel: 0.0 };
}

/// Passes if `got` has the shape of `want` and its values within `tolerance`.
///
/// dtypes and devices may differ; the comparison is made in `f64` on the CPU.
///
/// # Errors
/// Names the shapes if they differ, else the element that is farthest off. NaN is never close;
/// an infinity only to itself.
pub fn assert_close(got: &Tensor, want: &Tensor, tolerance: Tolerance) -> Result<()> {
    ensure!(got.dims() == want.dims(), "shape {:?} instead of {:?}", got.dims(), want.dims());
    let (got_values, want_values) = (values(got)?, values(want)?);
    // An infinity must not widen what is allowed for the others.
    let scale = want_values.iter().filter(|v| v.is_finite()).fold(0.0f64, |max, v| max.max(v.abs()));
    let allowed = tolerance.abs + tolerance.rel * scale;

    let pairs = got_values.iter().zip(&want_values);
    let worst = pairs.map(|(g, w)| distance(*g, *w)).enumerate().max_by(|a, b| a.1.total_cmp(&b.1));
    let Some((index, off)) = worst else { return Ok(()) };
    ensure!(
        off <= allowed,
        "element {:?} of {:?} is {:e} instead of {:e}: off by {off:e}, allowed are {allowed:e} ({tolerance:?}, largest magnitude {scale:e})",
        position(index, want.dims()),
        want.dims(),
        got_values[index],
        want_values[index],
    );
    Ok(())
}

/// [`assert_close`] of two numbers.
///
/// # Errors
/// As [`assert_close`].
pub fn assert_close_scalar(got: f64, want: f64, tolerance: Tolerance) -> Result<()> {
    let scale = if want.is_finite() { want.abs() } else { 0.0 };
    let (off, allowed) = (distance(got, want), tolerance.abs + tolerance.rel * scale);
    ensure!(
        off <= allowed,
        "{got:e} instead of {want:e}: off by {off:e}, allowed are {allowed:e} ({tolerance:?})"
    );
    Ok(())
}

fn values(t: &Tensor) -> Result<Vec<f64>> {
    Ok(t.to_device(&Device::Cpu)?.to_dtype(DType::F64)?.flatten_all()?.to_vec1()?)
}

/// `|got - want|`, with NaN made positive: then it sorts above every number and is never within
/// what is allowed.
fn distance(got: f64, want: f64) -> f64 {
    // First for infinities: the difference of equal ones is NaN.
    if got == want { 0.0 } else { (got - want).abs() }
}

/// Indices of the `index`-th element of a tensor in row-major order.
fn position(index: usize, dims: &[usize]) -> Vec<usize> {
    let mut rest = index;
    let mut position: Vec<usize> = dims
        .iter()
        .rev()
        .map(|dim| {
            let at = rest % dim;
            rest /= dim;
            at
        })
        .collect();
    position.reverse();
    position
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOLERANCE: Tolerance = Tolerance { abs: 0.5, rel: 0.01 };

    fn row(values: &[f32]) -> Tensor {
        Tensor::new(values, &Device::Cpu).unwrap()
    }

    fn close(got: &[f32], want: &[f32]) -> bool {
        assert_close(&row(got), &row(want), TOLERANCE).is_ok()
    }

    #[test]
    fn tolerance_counts_from_the_largest_magnitude() {
        assert!(close(&[1.4, -100.0], &[0.0, -100.0])); // 0.5 + 0.01 * 100 = 1.5
        assert!(!close(&[1.6, -100.0], &[0.0, -100.0]));
        assert!(close(&[], &[]));
    }

    #[test]
    fn nan_and_infinity_are_close_to_nothing_else() {
        let (inf, nan) = (f32::INFINITY, f32::NAN);
        assert!(!close(&[nan], &[1.0]) && !close(&[1.0], &[nan]) && !close(&[nan], &[nan]));
        assert!(!close(&[0.0, -nan], &[0.0, 1.0]));
        assert!(close(&[inf], &[inf]));
        assert!(!close(&[inf], &[-inf]) && !close(&[1.0], &[inf]) && !close(&[inf, 2.0], &[inf, 1.0]));
        assert!(assert_close_scalar(f64::NAN, f64::NAN, TOLERANCE).is_err());
        assert!(assert_close_scalar(1.0, f64::INFINITY, TOLERANCE).is_err());
    }

    #[test]
    fn message_names_position_and_values() -> Result<()> {
        let want = Tensor::zeros((2, 3), DType::F32, &Device::Cpu)?;
        let got = Tensor::new(&[[0.0f32, 0.1, 0.0], [0.0, 0.0, 8.0]], &Device::Cpu)?;
        let message = assert_close(&got, &want, TOLERANCE).unwrap_err().to_string();
        assert!(
            message.starts_with("element [1, 2] of [2, 3] is 8e0 instead of 0e0: off by 8e0"),
            "{message}"
        );

        let message = assert_close(&got.t()?, &want, TOLERANCE).unwrap_err().to_string();
        assert_eq!(message, "shape [3, 2] instead of [2, 3]");
        Ok(())
    }

    #[test]
    fn scalars() {
        assert!(assert_close_scalar(101.4, 100.0, TOLERANCE).is_ok());
        assert!(assert_close_scalar(101.6, 100.0, TOLERANCE).is_err());
        assert!(assert_close_scalar(-0.0, 0.0, Tolerance::EXACT).is_ok());
        assert!(assert_close_scalar(1e-300, 0.0, Tolerance::EXACT).is_err());
    }
}
