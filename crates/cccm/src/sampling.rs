//! The sampler of a model: few steps for a student, guided DDIM for a teacher.

use anyhow::Result;
use cccm_run::GuidanceSettings;
use cccm_sample::{DdimConfig, DdimSampler, FewStepConfig, FewStepSampler, Sampler};
use cccm_sched::{GuidanceConfig, Thresholding};
use cccm_unet::{ModelConfig, UNet};

/// Guided solver steps of a teacher, as published: 100 evaluations.
const TEACHER_STEPS: usize = 50;
/// Guidance scale of a teacher, the middle of what the built-in students are trained for.
const TEACHER_GUIDANCE_SCALE: f64 = 3.0;
/// Default thresholding of a teacher's clean images. The published sampler has none, and saturates pictures
/// whenever a prediction near the end of the schedule is a little off.
pub(crate) const TEACHER_THRESHOLDING: Thresholding = Thresholding::Clip;

/// How to sample. What is not set takes the model's default.
#[derive(Clone, Debug, Default)]
pub struct SamplerChoice {
    /// Evaluations of a student, guided solver steps of a teacher.
    pub steps: Option<usize>,
    /// How strongly to follow the labels; 1 is no guidance.
    pub guidance_scale: Option<f64>,
    /// How a teacher is guided beyond that.
    pub guidance: GuidanceSettings,
}

/// A sampler, and what it was made for.
pub struct ChosenSampler {
    /// The sampler.
    pub sampler: Box<dyn Sampler>,
    /// Evaluations of a student, guided solver steps of a teacher.
    pub steps: usize,
    /// How strongly it follows the labels.
    pub guidance_scale: f64,
    /// Of a teacher.
    pub guidance: Option<GuidanceConfig>,
}

impl SamplerChoice {
    /// The sampler of a model.
    ///
    /// # Errors
    /// For what the model cannot be sampled with, such as a teacher's guidance for a student.
    pub fn sampler(self, config: &ModelConfig, network: &UNet) -> Result<ChosenSampler> {
        if let Some(student) = &config.student {
            self.guidance.refuse_for_student()?;
            let default = FewStepConfig::for_student(student);
            let cfg = FewStepConfig {
                steps: self.steps.unwrap_or(default.steps),
                guidance_scale: self.guidance_scale.unwrap_or(default.guidance_scale),
            };
            let sampler = FewStepSampler::new(&config.schedule, student, &cfg)?;
            let FewStepConfig { steps, guidance_scale } = cfg;
            return Ok(ChosenSampler { sampler: Box::new(sampler), steps, guidance_scale, guidance: None });
        }
        let cfg = DdimConfig {
            steps: self.steps.unwrap_or(TEACHER_STEPS),
            guidance_scale: self.guidance_scale.unwrap_or(TEACHER_GUIDANCE_SCALE),
            guidance: self.guidance.config(TEACHER_THRESHOLDING)?,
        };
        let sampler = DdimSampler::new(&config.schedule, &network.null_labels(), &cfg)?;
        let DdimConfig { steps, guidance_scale, guidance } = cfg;
        Ok(ChosenSampler { sampler: Box::new(sampler), steps, guidance_scale, guidance: Some(guidance) })
    }
}
