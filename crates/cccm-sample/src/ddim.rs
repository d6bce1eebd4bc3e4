//! Guided DDIM sampling of a teacher.

use candle_core::Tensor;
use cccm_sched::{Denoiser, Guidance, GuidanceConfig, NoiseSchedule, ScheduleConfig, ddim_timesteps};
use serde::{Deserialize, Serialize};

use crate::sampler::{Evaluations, guidance_weights, start, timestep, w_from_guidance_scale};
use crate::{Error, NoiseSource, Observer, Result, SampleStep, Sampler};

/// How a teacher is sampled.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DdimConfig {
    /// Solver steps, at least 1 and below the schedule's `train_timesteps`; published: 50.
    pub steps: usize,
    /// Guidance as users count it (`w + 1`), finite. At 1 there is no guidance, and a step costs one
    /// evaluation, not two.
    pub guidance_scale: f64,
    /// Which way guidance leads, when it acts, and what is done to the clean image. Default as published.
    #[serde(default)]
    pub guidance: GuidanceConfig,
}

impl DdimConfig {
    /// Published guidance.
    /// - `steps`, `guidance_scale`: as the fields
    pub fn new(steps: usize, guidance_scale: f64) -> Self {
        Self { steps, guidance_scale, guidance: GuidanceConfig::default() }
    }
}

/// Deterministic DDIM (Song et al. 2021, eq. 12 with sigma 0) with classifier-free guidance (Ho & Salimans 2022,
/// eq. 6), or what else [`GuidanceConfig`] says.
///
/// The last step ends at timestep 0 of the schedule, whose noise rate is 0.01 under the default one.
#[derive(Clone, Debug)]
pub struct DdimSampler {
    schedule: NoiseSchedule,
    /// Ascending.
    timesteps: Vec<u32>,
    guidance: Guidance,
    w: f64,
}

impl DdimSampler {
    /// A sampler of teachers trained with `schedule`.
    /// - `null_labels`: per label kind the null token, which is its number of labels
    ///
    /// # Errors
    /// [`Error::InvalidConfig`] when `guidance_scale` is not finite; [`Error::Sched`] when `steps`, `guidance` or `schedule`
    /// is out of range.
    pub fn new(schedule: &ScheduleConfig, null_labels: &[u32], cfg: &DdimConfig) -> Result<Self> {
        let w = w_from_guidance_scale(cfg.guidance_scale)?;
        let schedule = NoiseSchedule::new(schedule)?;
        let timesteps = ddim_timesteps(schedule.train_timesteps(), cfg.steps)?;
        Ok(Self { schedule, timesteps, guidance: Guidance::new(&cfg.guidance, null_labels)?, w })
    }

    /// Timesteps at which the network is evaluated, ascending; sampling visits them from the last to the first.
    pub fn timesteps(&self) -> &[u32] {
        &self.timesteps
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
        let (got, want) = (labels.len(), self.guidance.label_kinds());
        if got != want {
            return Err(Error::LabelKinds { got, want });
        }
        let mut x_t = start(labels, noise)?;
        let w = guidance_weights(self.w, &x_t)?;
        let (mut evaluations, mut asked) = (Evaluations::default(), 0);
        for (index, at) in (0..self.timesteps.len()).rev().enumerate() {
            let t = self.timesteps[at];
            let t_prev = if at == 0 { 0 } else { self.timesteps[at - 1] };
            let times = timestep(t, &x_t)?;
            let prediction = evaluations
                .evaluate(&x_t, t, |_| self.guidance.predict(denoiser, &x_t, &times, labels, &w))?;
            let (x0_pred, eps) =
                self.schedule.clean_and_noise(&x_t, &times, &prediction, self.guidance.thresholding())?;
            x_t = self.schedule.ddim_step(&x_t, &eps, t, t_prev)?;
            asked += self.guidance.evaluations(t, self.w);
            observer.step(&SampleStep {
                index,
                of: self.timesteps.len(),
                t,
                x0_pred: &x0_pred,
                evaluations: asked,
            })?;
        }
        evaluations.check()?;
        Ok(x_t)
    }

    fn evaluations(&self) -> usize {
        self.timesteps.iter().map(|t| self.guidance.evaluations(*t, self.w)).sum()
    }
}
