//! Settings of AdamW.

use serde::{Deserialize, Serialize};

use crate::Result;
use crate::range::{NOT_NEGATIVE, POSITIVE, check_range};

/// Settings of [`AdamW`](crate::AdamW). The learning rate is an argument of every step instead.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AdamWConfig {
    /// Decay of the mean gradient, in `[0, 1)`. Default 0.9 (Kingma and Ba 2015, algorithm 1).
    pub beta1: f64,
    /// Decay of the mean squared gradient, in `[0, 1)`. Default 0.999 (same).
    pub beta2: f64,
    /// Added to the root of the mean square, above 0. Default 1e-8 (same).
    pub eps: f64,
    /// Share of a parameter, per unit of learning rate, that each step removes; at least 0.
    /// Default 0.
    pub weight_decay: f64,
}

impl Default for AdamWConfig {
    fn default() -> Self {
        Self { beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.0 }
    }
}

impl AdamWConfig {
    /// Checks the ranges of all fields.
    ///
    /// # Errors
    /// [`Error::InvalidConfig`](crate::Error::InvalidConfig) for the first field outside its range.
    pub fn validate(&self) -> Result<()> {
        let unit = "at least 0 and below 1";
        check_range("beta1", self.beta1, 0.0..1.0, unit)?;
        check_range("beta2", self.beta2, 0.0..1.0, unit)?;
        check_range("eps", self.eps, POSITIVE, "finite and above 0")?;
        check_range("weight_decay", self.weight_decay, NOT_NEGATIVE, "finite and at least 0")
    }
}
