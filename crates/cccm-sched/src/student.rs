//! What a student was trained with and whoever samples it must know.

use serde::{Deserialize, Serialize};

use crate::{Boundary, Error, Result};

/// Training facts of a student that sampling depends on; stored in its `config.json`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StudentConfig {
    /// Guidance weights `w` drawn in training, `0 <= low <= high`; users type `w + 1`. Default `(2.6, 3.0)`.
    pub w_interval: (f64, f64),
    /// Solver steps of the training grid, at least 1; few-step sampling visits its points. Default 50.
    pub num_ddim_timesteps: usize,
    /// Factor on `t` in the boundary scalings, above 0. Default 10.
    pub timestep_scaling: f64,
}

impl Default for StudentConfig {
    /// The published runs.
    fn default() -> Self {
        Self { w_interval: (2.6, 3.0), num_ddim_timesteps: 50, timestep_scaling: 10.0 }
    }
}

impl StudentConfig {
    /// Checks every field.
    ///
    /// # Errors
    /// [`Error::InvalidConfig`] for the first value out of range.
    pub fn validate(&self) -> Result<()> {
        let (low, high) = self.w_interval;
        if !(0.0 <= low && low <= high && high.is_finite()) {
            let got = format!("({low}, {high})");
            return Err(Error::invalid("w_interval", got, "two numbers with 0 <= low <= high"));
        }
        if self.num_ddim_timesteps == 0 {
            return Err(Error::invalid("num_ddim_timesteps", 0, "at least 1"));
        }
        self.boundary().map(|_| ())
    }

    /// The boundary scalings of this student.
    ///
    /// # Errors
    /// [`Error::InvalidConfig`] when `timestep_scaling` is out of range.
    pub fn boundary(&self) -> Result<Boundary> {
        Boundary::new(self.timestep_scaling)
    }

    /// Guidance scale to sample at unless told otherwise: the middle of the interval, as users count it (`w + 1`).
    pub fn default_guidance_scale(&self) -> f64 {
        f64::midpoint(self.w_interval.0, self.w_interval.1) + 1.0
    }

    /// Whether training drew the weight behind this guidance scale; beyond the interval the embedding does not
    /// extrapolate.
    pub fn covers_guidance_scale(&self, guidance_scale: f64) -> bool {
        // Scales are typed in decimal, so that 3.6 must count as 2.6 + 1.
        const ROUNDING: f64 = 1e-6;
        let w = guidance_scale - 1.0;
        self.w_interval.0 - ROUNDING <= w && w <= self.w_interval.1 + ROUNDING
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guidance_scale_follows_the_interval() {
        let cfg = StudentConfig::default();
        assert!((cfg.default_guidance_scale() - 3.8).abs() < 1e-12);
        assert!(cfg.covers_guidance_scale(3.6) && cfg.covers_guidance_scale(4.0));
        assert!(!cfg.covers_guidance_scale(2.8) && !cfg.covers_guidance_scale(4.1));
    }

    #[test]
    fn bad_values_are_named() {
        let field = |cfg: StudentConfig| match cfg.validate() {
            Err(Error::InvalidConfig { field, .. }) => field,
            other => panic!("{other:?}"),
        };
        assert_eq!(field(StudentConfig { w_interval: (3.0, 2.0), ..Default::default() }), "w_interval");
        assert_eq!(
            field(StudentConfig { num_ddim_timesteps: 0, ..Default::default() }),
            "num_ddim_timesteps"
        );
        assert_eq!(field(StudentConfig { timestep_scaling: 0.0, ..Default::default() }), "timestep_scaling");
    }
}
