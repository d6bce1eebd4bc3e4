//! Guided DDIM sampling of a teacher.

use candle_core::Tensor;
use cccm_sched::{Conditions, Denoiser, NoiseSchedule, ScheduleConfig, ddim_timesteps, guided, predict_pair};
use serde::{Deserialize, Serialize};

use crate::sampler::{Evaluations, guidance_weights, start, timestep, w_from_guidance_scale};
use crate::{Error, NoiseSource, Observer, Result, SampleStep, Sampler};

/// How a teacher is sampled.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DdimConfig {
    /// Solver steps, at least 1 and below the schedule's `train_timesteps`; published: 50.
    pub steps: usize,
    /// Guidance as users count it (`w + 1`), finite; at 1, none, a step costs one evaluation instead of two.
    pub guidance_scale: f64,
}

/// Deterministic DDIM (Song et al. 2021, eq. 12 with sigma 0) with classifier-free guidance (Ho & Salimans 2022,
/// eq. 6).
///
/// The last step ends at timestep 0 of the schedule, whose noise rate is 0.01 under the default one.
#[derive(Clone, Debug)]
pub struct DdimSampler {
    schedule: NoiseSchedule,
    /// Ascending.
    timesteps: Vec<u32>,
    null_labels: Vec<u32>,
    w: f64,
}

impl DdimSampler {
    /// A sampler of teachers trained with `schedule`.
    /// - `null_labels`: per label kind the null token, which is its number of labels
    ///
    /// # Errors
    /// [`Error::InvalidConfig`] when `guidance_scale` is not finite; [`Error::Sched`] when `steps` or `schedule` is out
    /// of range.
    pub fn new(schedule: &ScheduleConfig, null_labels: &[u32], cfg: &DdimConfig) -> Result<Self> {
        let w = w_from_guidance_scale(cfg.guidance_scale)?;
        let schedule = NoiseSchedule::new(schedule)?;
        let timesteps = ddim_timesteps(schedule.train_timesteps(), cfg.steps)?;
        Ok(Self { schedule, timesteps, null_labels: null_labels.to_vec(), w })
    }

    /// Timesteps at which the network is evaluated, ascending; sampling visits them from the last to the first.
    pub fn timesteps(&self) -> &[u32] {
        &self.timesteps
    }

    fn is_guided(&self) -> bool {
        self.w != 0.0
    }

    fn evaluations_per_step(&self) -> usize {
        if self.is_guided() { 2 } else { 1 }
    }

    /// The guided prediction, of whatever kind the network predicts: the conversions to `eps` are linear.
    fn predict(
        &self,
        denoiser: &dyn Denoiser,
        x_t: &Tensor,
        t: &Tensor,
        conds: &Conditions,
    ) -> candle_core::Result<Tensor> {
        if !self.is_guided() {
            return denoiser.predict(x_t, t, conds);
        }
        let (cond, uncond) = predict_pair(denoiser, x_t, t, conds, &self.null_labels)?;
        guided(&cond, &uncond, &guidance_weights(self.w, x_t)?)
    }
}

impl Sampler for DdimSampler {
    fn sample(
        &self,
        denoiser: &dyn Denoiser,
        labels: &[Tensor],
        noise: &dyn NoiseSource,
        observer: &mut dyn Observer,
    ) -> Result<Tensor> {
        let (got, want) = (labels.len(), self.null_labels.len());
        if got != want {
            return Err(Error::LabelKinds { got, want });
        }
        let mut x_t = start(labels, noise)?;
        let conds = Conditions::new(labels.to_vec());
        let mut evaluations = Evaluations::default();
        for (index, at) in (0..self.timesteps.len()).rev().enumerate() {
            let t = self.timesteps[at];
            let t_prev = if at == 0 { 0 } else { self.timesteps[at - 1] };
            let times = timestep(t, &x_t)?;
            let prediction =
                evaluations.evaluate(&x_t, t, |times| self.predict(denoiser, &x_t, times, &conds))?;
            let x0_pred = self.schedule.x0_from_prediction(&x_t, &times, &prediction)?;
            let eps = self.schedule.eps_from_prediction(&x_t, &times, &prediction)?;
            x_t = self.schedule.ddim_step(&x_t, &eps, t, t_prev)?;
            observer.step(&SampleStep {
                index,
                of: self.timesteps.len(),
                t,
                x0_pred: &x0_pred,
                evaluations: (index + 1) * self.evaluations_per_step(),
            })?;
        }
        evaluations.check()?;
        Ok(x_t)
    }

    fn evaluations(&self) -> usize {
        self.timesteps.len() * self.evaluations_per_step()
    }
}
