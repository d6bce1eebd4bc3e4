//! Conversions between clean image, noise, noisy image and what a network predicts.

use candle_core::Tensor;

use crate::{NoiseSchedule, PredictionType, Result};

fn signal(alpha_bar: f32) -> f32 {
    alpha_bar.sqrt()
}

fn noise(alpha_bar: f32) -> f32 {
    (1.0 - alpha_bar).sqrt()
}

/// All take and give images `(batch, channels, height, width)`, float, clean ones spanning `[-1, 1]`, and `t`
/// `(batch,)` `u32`, each in `0..train_timesteps`.
impl NoiseSchedule {
    /// Noisy image `x_t = sqrt(alpha_bar_t) x_0 + sqrt(1 - alpha_bar_t) eps` (Ho et al. 2020, eq. 4).
    ///
    /// # Errors
    /// [`crate::Error::TimestepOutOfRange`] for the first bad `t`; [`crate::Error::Candle`] when shapes differ.
    pub fn add_noise(&self, x_0: &Tensor, t: &Tensor, eps: &Tensor) -> Result<Tensor> {
        self.mix(t, (x_0, signal), (eps, noise))
    }

    /// Clean image behind `x_t`: `x_0 = (x_t - sqrt(1 - alpha_bar_t) eps) / sqrt(alpha_bar_t)`
    /// (Ho et al. 2020, eq. 15).
    ///
    /// # Errors
    /// As [`Self::add_noise`].
    pub fn x0_from_eps(&self, x_t: &Tensor, t: &Tensor, eps: &Tensor) -> Result<Tensor> {
        // Subtract first, divide last: the order of the reference, which f32 rounding can tell.
        let signal = self.coefficient(t, x_t, signal)?;
        let noise = self.coefficient(t, x_t, noise)?;
        Ok((x_t - eps.broadcast_mul(&noise)?)?.broadcast_div(&signal)?)
    }

    /// Noise within `x_t` given its clean image: `eps = (x_t - sqrt(alpha_bar_t) x_0) / sqrt(1 - alpha_bar_t)`.
    ///
    /// # Errors
    /// As [`Self::add_noise`].
    pub fn eps_from_x0(&self, x_t: &Tensor, t: &Tensor, x_0: &Tensor) -> Result<Tensor> {
        let signal = self.coefficient(t, x_t, signal)?;
        let noise = self.coefficient(t, x_t, noise)?;
        Ok((x_t - x_0.broadcast_mul(&signal)?)?.broadcast_div(&noise)?)
    }

    /// Velocity `v = sqrt(alpha_bar_t) eps - sqrt(1 - alpha_bar_t) x_0` (Salimans & Ho 2022, section 4).
    ///
    /// # Errors
    /// As [`Self::add_noise`].
    pub fn velocity(&self, x_0: &Tensor, t: &Tensor, eps: &Tensor) -> Result<Tensor> {
        self.mix(t, (eps, signal), (x_0, |a| -noise(a)))
    }

    /// Clean image from the velocity: `x_0 = sqrt(alpha_bar_t) x_t - sqrt(1 - alpha_bar_t) v`.
    ///
    /// # Errors
    /// As [`Self::add_noise`].
    pub fn x0_from_v(&self, x_t: &Tensor, t: &Tensor, v: &Tensor) -> Result<Tensor> {
        self.mix(t, (x_t, signal), (v, |a| -noise(a)))
    }

    /// Noise from the velocity: `eps = sqrt(alpha_bar_t) v + sqrt(1 - alpha_bar_t) x_t`.
    ///
    /// # Errors
    /// As [`Self::add_noise`].
    pub fn eps_from_v(&self, x_t: &Tensor, t: &Tensor, v: &Tensor) -> Result<Tensor> {
        self.mix(t, (v, signal), (x_t, noise))
    }

    /// Clean image from whatever the network predicts under this schedule's `prediction_type`.
    ///
    /// # Errors
    /// As [`Self::add_noise`].
    pub fn x0_from_prediction(&self, x_t: &Tensor, t: &Tensor, prediction: &Tensor) -> Result<Tensor> {
        match self.prediction_type() {
            PredictionType::Epsilon => self.x0_from_eps(x_t, t, prediction),
            PredictionType::Sample => Ok(prediction.clone()),
            PredictionType::VPrediction => self.x0_from_v(x_t, t, prediction),
        }
    }

    /// Noise from whatever the network predicts under this schedule's `prediction_type`.
    ///
    /// # Errors
    /// As [`Self::add_noise`].
    pub fn eps_from_prediction(&self, x_t: &Tensor, t: &Tensor, prediction: &Tensor) -> Result<Tensor> {
        match self.prediction_type() {
            PredictionType::Epsilon => Ok(prediction.clone()),
            PredictionType::Sample => self.eps_from_x0(x_t, t, prediction),
            PredictionType::VPrediction => self.eps_from_v(x_t, t, prediction),
        }
    }

    /// What a network trained under this schedule's `prediction_type` should answer for `add_noise(x_0, t, eps)`.
    ///
    /// # Errors
    /// As [`Self::add_noise`].
    pub fn prediction_target(&self, x_0: &Tensor, t: &Tensor, eps: &Tensor) -> Result<Tensor> {
        match self.prediction_type() {
            PredictionType::Epsilon => Ok(eps.clone()),
            PredictionType::Sample => Ok(x_0.clone()),
            PredictionType::VPrediction => self.velocity(x_0, t, eps),
        }
    }

    fn mix(
        &self,
        t: &Tensor,
        (a, a_rate): (&Tensor, impl Fn(f32) -> f32),
        (b, b_rate): (&Tensor, impl Fn(f32) -> f32),
    ) -> Result<Tensor> {
        let a = a.broadcast_mul(&self.coefficient(t, a, a_rate)?)?;
        Ok((a + b.broadcast_mul(&self.coefficient(t, b, b_rate)?)?)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Error, ScheduleConfig, Streams};
    use candle_core::Device;
    use cccm_tests::{Tolerance, assert_close};

    const TOLERANCE: Tolerance = Tolerance { abs: 0.0, rel: 1e-5 };

    #[test]
    fn conversions_undo_each_other() -> anyhow::Result<()> {
        for prediction_type in [PredictionType::Epsilon, PredictionType::Sample, PredictionType::VPrediction]
        {
            let schedule = NoiseSchedule::new(&ScheduleConfig { prediction_type, ..Default::default() })?;
            let draws = Streams::new(3).draws(0, 0..4);
            let (x_0, eps) = (draws.normal("x", &[3, 5, 5])?, draws.normal("eps", &[3, 5, 5])?);
            // Within 200..600 neither rate is small, so that dividing by it does not magnify rounding.
            let t = Tensor::new(&[200u32, 300, 450, 600], &Device::Cpu)?;
            let x_t = schedule.add_noise(&x_0, &t, &eps)?;
            let prediction = schedule.prediction_target(&x_0, &t, &eps)?;
            assert_close(&schedule.x0_from_prediction(&x_t, &t, &prediction)?, &x_0, TOLERANCE)?;
            assert_close(&schedule.eps_from_prediction(&x_t, &t, &prediction)?, &eps, TOLERANCE)?;
        }
        Ok(())
    }

    #[test]
    fn a_timestep_beyond_the_schedule_is_named() -> anyhow::Result<()> {
        let schedule = NoiseSchedule::new(&ScheduleConfig::default())?;
        let x = Streams::new(1).draws(0, 0..2).normal("x", &[1, 2, 2])?;
        let t = Tensor::new(&[3u32, 1000], &Device::Cpu)?;
        let error = schedule.add_noise(&x, &t, &x).unwrap_err();
        assert!(matches!(error, Error::TimestepOutOfRange { t: 1000, last: 999 }), "{error}");
        Ok(())
    }
}
