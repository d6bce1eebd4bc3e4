//! The sampler of a model: few steps for a student, guided DDIM for a teacher.

use anyhow::Result;
use cccm_sample::{DdimConfig, DdimSampler, FewStepConfig, FewStepSampler, Sampler};
use cccm_unet::{ModelConfig, UNet};

/// Guided solver steps of a teacher, as published: 100 evaluations.
const TEACHER_STEPS: usize = 50;
/// Guidance scale of a teacher, the middle of what the built-in students are trained for.
const TEACHER_GUIDANCE_SCALE: f64 = 3.0;

/// How to sample; what is not said is the model's default.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Asked {
    pub(crate) steps: Option<usize>,
    pub(crate) guidance_scale: Option<f64>,
}

/// A sampler, and what it was made for.
pub(crate) struct Chosen {
    pub(crate) sampler: Box<dyn Sampler>,
    /// Evaluations of a student, guided solver steps of a teacher.
    pub(crate) steps: usize,
    pub(crate) guidance_scale: f64,
}

impl Asked {
    pub(crate) fn sampler(self, config: &ModelConfig, network: &UNet) -> Result<Chosen> {
        if let Some(student) = &config.student {
            let default = FewStepConfig::for_student(student);
            let cfg = FewStepConfig {
                steps: self.steps.unwrap_or(default.steps),
                guidance_scale: self.guidance_scale.unwrap_or(default.guidance_scale),
            };
            let sampler = FewStepSampler::new(&config.schedule, student, &cfg)?;
            let FewStepConfig { steps, guidance_scale } = cfg;
            return Ok(Chosen { sampler: Box::new(sampler), steps, guidance_scale });
        }
        let cfg = DdimConfig {
            steps: self.steps.unwrap_or(TEACHER_STEPS),
            guidance_scale: self.guidance_scale.unwrap_or(TEACHER_GUIDANCE_SCALE),
        };
        let sampler = DdimSampler::new(&config.schedule, &network.null_labels(), &cfg)?;
        Ok(Chosen { sampler: Box::new(sampler), steps: cfg.steps, guidance_scale: cfg.guidance_scale })
    }
}
