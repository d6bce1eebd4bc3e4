//! Boundary scalings: what makes a consistency function the identity at `t = 0`.

use candle_core::Tensor;

use crate::schedule::{per_sample, timesteps};
use crate::{Error, Result};

/// Scalings of `f(x, t) = c_skip(t) x + c_out(t) x0_pred`, so that `f(x, 0) = x`
/// (Song et al. 2023, section 3; timestep scaling as in Luo et al. 2023, appendix).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Boundary {
    sigma_data: f64,
    timestep_scaling: f64,
}

impl Boundary {
    /// Standard deviation that the data is taken to have, 0.5 in every consistency model we know of.
    const SIGMA_DATA: f64 = 0.5;

    /// Scalings with `sigma_data` 0.5 and the given timestep scaling (published: 10).
    ///
    /// # Errors
    /// [`Error::InvalidConfig`] unless `timestep_scaling` is finite and above 0.
    pub fn new(timestep_scaling: f64) -> Result<Self> {
        if !(timestep_scaling.is_finite() && timestep_scaling > 0.0) {
            return Err(Error::invalid("timestep_scaling", timestep_scaling, "a finite number above 0"));
        }
        Ok(Self { sigma_data: Self::SIGMA_DATA, timestep_scaling })
    }

    /// `c_skip = sigma² / (s² + sigma²)` with `s = timestep_scaling · t`; 1 at `t = 0`, falling.
    pub fn c_skip(&self, t: u32) -> f64 {
        let (s, sigma) = (self.timestep_scaling * f64::from(t), self.sigma_data);
        sigma.powi(2) / (s.powi(2) + sigma.powi(2))
    }

    /// `c_out = s / sqrt(s² + sigma²)`; 0 at `t = 0`, rising to 1.
    pub fn c_out(&self, t: u32) -> f64 {
        let (s, sigma) = (self.timestep_scaling * f64::from(t), self.sigma_data);
        s / (s.powi(2) + sigma.powi(2)).sqrt()
    }

    /// `f(x, t) = c_skip(t) x_t + c_out(t) x0_pred`.
    /// - `x_t`, `x0_pred`, result: `(batch, channels, height, width)`, float
    /// - `t`: `(batch,)`, `u32`
    ///
    /// # Errors
    /// [`Error::Candle`] when shapes differ.
    pub fn apply(&self, x_t: &Tensor, t: &Tensor, x0_pred: &Tensor) -> Result<Tensor> {
        let t = timesteps(t)?;
        let c_skip = per_sample(t.iter().map(|t| self.c_skip(*t) as f32).collect(), x_t)?;
        let c_out = per_sample(t.iter().map(|t| self.c_out(*t) as f32).collect(), x_t)?;
        Ok((x_t.broadcast_mul(&c_skip)? + x0_pred.broadcast_mul(&c_out)?)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Streams;
    use candle_core::Device;

    #[test]
    fn f_at_zero_is_the_identity() -> anyhow::Result<()> {
        let draws = Streams::new(5).draws(0, 0..2);
        let (x, x0_pred) = (draws.normal("x", &[3, 4, 4])?, draws.normal("y", &[3, 4, 4])?);
        let t = Tensor::zeros(2, candle_core::DType::U32, &Device::Cpu)?;
        let f = Boundary::new(10.0)?.apply(&x, &t, &x0_pred)?;
        assert_eq!(f.flatten_all()?.to_vec1::<f32>()?, x.flatten_all()?.to_vec1::<f32>()?);
        Ok(())
    }

    #[test]
    fn scaling_must_be_positive() {
        for bad in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!(matches!(
                Boundary::new(bad),
                Err(Error::InvalidConfig { field: "timestep_scaling", .. })
            ));
        }
    }
}
