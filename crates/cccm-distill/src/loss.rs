//! Distances between two batches of images.

use candle_core::{DType, Tensor};
use serde::{Deserialize, Serialize};

use crate::choice::choice;

/// Name of a distance, in files and flags.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LossType {
    /// [`Distance::Huber`].
    #[default]
    Huber,
    /// [`Distance::SampleHuber`].
    SampleHuber,
    /// [`Distance::L2`].
    L2,
}

choice!(LossType, "loss type", "huber" => Huber, "sample_huber" => SampleHuber, "l2" => L2);

impl LossType {
    /// The `huber_c` that papers use with it; none for `L2`.
    pub fn usual_huber_c(self) -> Option<f64> {
        match self {
            // Luo et al. 2023.
            Self::Huber => Some(0.001),
            // Song & Dhariwal 2023, section 3.3.
            Self::SampleHuber => Some(0.00054),
            Self::L2 => None,
        }
    }
}

/// How far two batches of images are apart, as the mean over their samples.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Distance {
    /// Pseudo-Huber: `mean(sqrt((a - b)² + c²) - c)` (Song & Dhariwal 2023, eq. 8, per element as in Luo et
    /// al. 2023): quadratic in small differences, linear in large ones.
    Huber {
        /// The difference at which quadratic turns into linear, above 0.
        c: f64,
    },
    /// Pseudo-Huber of whole samples: `mean(sqrt(|a - b|² + c²) - c)` with the Euclidean norm of a sample's difference
    /// and `c = c_per_root_dim sqrt(dim)`, `dim` being the number of values in a sample (Song & Dhariwal 2023, eq. 8 and
    /// section 3.3). A sample far off pulls no harder than one that is near; the whole grows with `sqrt(dim)`.
    SampleHuber {
        /// The distance at which quadratic turns into linear, per square root of the number of values in a
        /// sample; above 0.
        c_per_root_dim: f64,
    },
    /// Mean squared error: `mean((a - b)²)`.
    L2,
}

impl Distance {
    /// The distance, a scalar in `f32` whatever the dtypes; never negative beyond rounding.
    /// - `a`, `b`: one shape `(batch, …)`, float
    ///
    /// # Errors
    /// When shapes differ.
    pub fn between(&self, a: &Tensor, b: &Tensor) -> candle_core::Result<Tensor> {
        let squares = (a.to_dtype(DType::F32)? - b.to_dtype(DType::F32)?)?.sqr()?;
        match self {
            Self::SampleHuber { c_per_root_dim } => {
                let squares = squares.flatten_from(1)?;
                let c = c_per_root_dim * (squares.dim(1)? as f64).sqrt();
                squares.sum(1)?.affine(1.0, c * c)?.sqrt()?.affine(1.0, -c)?.mean_all()
            }
            Self::Huber { c } => squares.affine(1.0, c * c)?.sqrt()?.affine(1.0, -c)?.mean_all(),
            Self::L2 => squares.mean_all(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{Device, Var};

    const HUBER: Distance = Distance::Huber { c: 0.5 };

    fn row(values: &[f32]) -> Tensor {
        Tensor::new(values, &Device::Cpu).unwrap()
    }

    fn distance(kind: Distance, a: &[f32], b: &[f32]) -> f32 {
        kind.between(&row(a), &row(b)).unwrap().to_scalar().unwrap()
    }

    #[test]
    fn values_by_hand() {
        // sqrt(1.2² + 0.5²) = 1.3 and sqrt(0 + 0.5²) = 0.5.
        let got = distance(HUBER, &[1.0, 3.0], &[2.2, 3.0]);
        assert!((got - 0.4).abs() < 1e-6, "{got}");
        assert_eq!(distance(Distance::L2, &[1.0, 3.0], &[3.0, 4.0]), 2.5);
        for kind in [HUBER, Distance::L2] {
            assert_eq!(distance(kind, &[0.3, -7.0], &[0.3, -7.0]), 0.0);
        }
    }

    #[test]
    fn huber_gradient_is_bounded_and_finite_at_zero() -> anyhow::Result<()> {
        let a = Var::from_tensor(&row(&[0.0, 1.2, -1e4]))?;
        let grads = HUBER.between(&a, &row(&[0.0; 3]))?.backward()?;
        let got = grads.get(&a).unwrap().to_vec1::<f32>()?;
        // d / sqrt(d² + c²), over three elements.
        for (got, want) in got.iter().zip([0.0, 1.2 / 1.3 / 3.0, -1.0 / 3.0]) {
            assert!((got - want).abs() < 1e-6, "{got} instead of {want}");
        }
        Ok(())
    }

    /// Two samples of 2 × 2 values.
    fn samples(values: [f32; 8]) -> Tensor {
        row(&values).reshape((2, 2, 2)).unwrap()
    }

    #[test]
    fn sample_huber_takes_each_sample_as_a_whole() -> anyhow::Result<()> {
        // c = 0.6 sqrt(4) = 1.2; the first sample is off by the vector (0.3, 0, 0.4, 0), of length 0.5, the second by
        // one of length 5.
        let kind = Distance::SampleHuber { c_per_root_dim: 0.6 };
        let a = Var::from_tensor(&samples([0.3, 1.0, 0.4, 2.0, 3.0, 7.0, 7.0, 4.0]))?;
        let b = samples([0.0, 1.0, 0.0, 2.0, 0.0, 7.0, 7.0, 0.0]);
        let distance = kind.between(&a, &b)?;
        let lengths = [1.3, (25.0f32 + 1.44).sqrt()];
        let want = f32::midpoint(lengths[0], lengths[1]) - 1.2;
        assert!((distance.to_scalar::<f32>()? - want).abs() < 1e-6);
        // The difference over its rounded length, and over two samples.
        let grads = distance.backward()?;
        let got = grads.get(&a).unwrap().flatten_all()?.to_vec1::<f32>()?;
        let differences = [0.3, 0.0, 0.4, 0.0, 3.0, 0.0, 0.0, 4.0];
        for (index, (got, difference)) in got.iter().zip(differences).enumerate() {
            let want = difference / lengths[index / 4] / 2.0;
            assert!((got - want).abs() < 1e-6, "{index}: {got} instead of {want}");
        }
        assert_eq!(kind.between(&b, &b)?.to_scalar::<f32>()?, 0.0);
        Ok(())
    }

    #[test]
    fn half_precision_is_summed_in_single() -> anyhow::Result<()> {
        // In bf16 a running sum of ones stops at 256.
        let ones = Tensor::ones(5000, DType::BF16, &Device::Cpu)?;
        let got = Distance::L2.between(&ones, &ones.zeros_like()?)?;
        assert_eq!((got.dtype(), got.to_scalar::<f32>()?), (DType::F32, 1.0));
        Ok(())
    }

    #[test]
    fn names_round_trip() {
        for kind in [LossType::Huber, LossType::SampleHuber, LossType::L2] {
            assert_eq!(kind.to_string().parse::<LossType>().unwrap(), kind);
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.to_string());
        }
        let error = "l1".parse::<LossType>().unwrap_err().to_string();
        assert_eq!(error, "no loss type `l1`; there are huber, sample_huber, l2");
    }
}
