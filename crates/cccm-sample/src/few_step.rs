//! Few-step sampling from a consistency model, the product of distillation.

use candle_core::Tensor;
use cccm_sched::{Boundary, Conditions, Denoiser, NoiseSchedule, ScheduleConfig, StudentConfig};
use serde::{Deserialize, Serialize};

use crate::sampler::{Evaluations, expect_shape, guidance_weights, start, timestep, w_from_guidance_scale};
use crate::{NoiseSource, Observer, Result, SampleStep, Sampler};

/// Evaluations per image of the published samples.
const PUBLISHED_STEPS: usize = 4;

/// How a student is sampled.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FewStepConfig {
    /// Network evaluations per image, from 1 to the number of points that the student is trained at: its
    /// `num_ddim_timesteps`, or fewer if it has a `first_timestep`.
    pub steps: usize,
    /// Guidance as users count it (`w + 1`, so 1 is none), finite; best within the student's `w_interval + 1`.
    pub guidance_scale: f64,
}

impl FewStepConfig {
    /// The published 4 steps, or the student's number of solver steps if that is smaller, at the middle of
    /// the guidance that it was trained with. A `first_timestep` may leave even fewer points, which only the
    /// schedule tells: [`FewStepSampler::new`] fails then.
    pub fn for_student(student: &StudentConfig) -> Self {
        let steps = PUBLISHED_STEPS.min(student.num_ddim_timesteps);
        Self { steps, guidance_scale: student.default_guidance_scale() }
    }
}

/// Multistep consistency sampling (Song et al. 2023, algorithm 1) on the grid of latent consistency models
/// (Luo et al. 2023, appendix B, algorithm 3): estimate `x_0`, clamp it to `[-1, 1]`, apply the boundary scalings,
/// renoise to the next timestep.
#[derive(Clone, Debug)]
pub struct FewStepSampler {
    schedule: NoiseSchedule,
    boundary: Boundary,
    timesteps: Vec<u32>,
    w: f64,
}

impl FewStepSampler {
    /// A sampler of students trained with `schedule` and `student`. Guidance that the student never saw is
    /// accepted with a warning.
    ///
    /// # Errors
    /// [`crate::Error::InvalidConfig`] when `guidance_scale` is not finite; [`crate::Error::Sched`] when `steps` is 0
    /// or above the number of points that the student knows, or the other configs are invalid.
    pub fn new(schedule: &ScheduleConfig, student: &StudentConfig, cfg: &FewStepConfig) -> Result<Self> {
        student.validate()?;
        let w = w_from_guidance_scale(cfg.guidance_scale)?;
        let schedule = NoiseSchedule::new(schedule)?;
        let timesteps = student.timesteps(&schedule, cfg.steps)?;
        if !student.covers_guidance_scale(cfg.guidance_scale) {
            let (low, high) = student.w_interval;
            tracing::warn!(
                guidance_scale = cfg.guidance_scale,
                "the student was trained at guidance scales {} to {}; others may give poor images",
                low + 1.0,
                high + 1.0
            );
        }
        Ok(Self { schedule, boundary: student.boundary()?, timesteps, w })
    }

    /// Timesteps at which the network is evaluated, descending.
    pub fn timesteps(&self) -> &[u32] {
        &self.timesteps
    }
}

impl Sampler for FewStepSampler {
    fn sample(
        &self,
        denoiser: &dyn Denoiser,
        labels: &[Tensor],
        noise: &dyn NoiseSource,
        observer: &mut dyn Observer,
    ) -> Result<Tensor> {
        let mut x_t = start(labels, noise)?;
        let conds = Conditions::new(labels.to_vec()).with_w(guidance_weights(self.w, &x_t)?);
        let mut image = x_t.clone();
        let mut evaluations = Evaluations::default();
        for (index, &t) in self.timesteps.iter().enumerate() {
            let times = timestep(t, &x_t)?;
            if index > 0 {
                let eps = noise.noise(index)?;
                expect_shape(|| format!("noise of step {index}"), &eps, image.dims())?;
                x_t = self.schedule.add_noise(&image, &times, &eps)?;
            }
            let prediction = evaluations.evaluate(&x_t, t, |times| denoiser.predict(&x_t, times, &conds))?;
            let x0_pred = self.schedule.x0_from_prediction(&x_t, &times, &prediction)?;
            image = self.boundary.apply(&x_t, &times, &x0_pred.clamp(-1f32, 1f32)?)?;
            observer.step(&SampleStep {
                index,
                of: self.timesteps.len(),
                t,
                x0_pred: &image,
                evaluations: index + 1,
            })?;
        }
        evaluations.check()?;
        Ok(image)
    }

    fn evaluations(&self) -> usize {
        self.timesteps.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_student_of_few_solver_steps_is_sampled_in_no_more() {
        for (num_ddim_timesteps, want) in [(1, 1), (3, 3), (4, 4), (50, 4)] {
            let student = StudentConfig { num_ddim_timesteps, ..StudentConfig::default() };
            let cfg = FewStepConfig::for_student(&student);
            let sampler = FewStepSampler::new(&ScheduleConfig::default(), &student, &cfg).unwrap();
            assert_eq!((cfg.steps, sampler.evaluations()), (want, want));
        }
    }
}
