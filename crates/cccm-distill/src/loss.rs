//! Distances between two batches of images.

use std::fmt;
use std::str::FromStr;

use candle_core::{DType, Tensor};
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// Name of a distance, in files and flags.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LossType {
    /// [`Distance::Huber`].
    #[default]
    Huber,
    /// [`Distance::L2`].
    L2,
}

impl fmt::Display for LossType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Huber => "huber",
            Self::L2 => "l2",
        })
    }
}

impl FromStr for LossType {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        match name {
            "huber" => Ok(Self::Huber),
            "l2" => Ok(Self::L2),
            _ => Err(Error::UnknownName { what: "loss type", got: name.to_owned(), names: "huber, l2" }),
        }
    }
}

/// How far two batches of images are apart, as the mean over all their elements.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Distance {
    /// Pseudo-Huber: `mean(sqrt((a - b)² + c²) - c)` (Song & Dhariwal 2023, eq. 8, per element as in Luo et al.
    /// 2023); the square of small differences, the size of large ones.
    Huber {
        /// Where the one turns into the other, above 0.
        c: f64,
    },
    /// Mean squared error: `mean((a - b)²)`.
    L2,
}

impl Distance {
    /// The distance, a scalar in `f32` whatever the dtypes; never negative beyond rounding.
    /// - `a`, `b`: one shape, float
    ///
    /// # Errors
    /// When shapes differ.
    pub fn between(&self, a: &Tensor, b: &Tensor) -> candle_core::Result<Tensor> {
        let squares = (a.to_dtype(DType::F32)? - b.to_dtype(DType::F32)?)?.sqr()?;
        match self {
            Self::Huber { c } => squares.affine(1.0, c * c)?.sqrt()?.affine(1.0, -c)?.mean_all(),
            Self::L2 => squares.mean_all(),
        }
    }
}
