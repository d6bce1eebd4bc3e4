//! How a teacher is guided, beyond the guidance scale.

use anyhow::{Result, bail};
use cccm_sched::{GuidanceConfig, Thresholding};

use crate::setting::{Negative, Values, settings};

settings! {
    /// How a teacher is guided, beyond the guidance scale.
    pub struct GuidanceSettings under "Guidance of a teacher" {
        /// Guidance weight of each label kind's own condition, multiplied by the guidance scale: can draw
        /// combinations that no image showed and that the joint condition fails to draw. With two kinds, a
        /// step takes 3 evaluations [default: the joint condition alone]
        kind_guidance: Vec<f64> => { value_names: &["WEIGHT"], negative: Negative::Number },

        /// Weight of the joint condition of all labels in the direction of guidance [default: 1, or 0 where kinds have weights]
        joint_guidance: f64 => { value_names: &["WEIGHT"], negative: Negative::Number },

        /// Guide only between these timesteps; at other timesteps, follow the labels without guidance
        /// [default: everywhere]
        guidance_interval: Vec<u32> => { value_names: &["LOW", "HIGH"], values: Values::Exactly(2) },

        /// What is done to clean images that leave the range of colours: none as published, clip, or dynamic, which is for
        /// photographs
        thresholding: Thresholding => { value_names: &["NAME"] },
    }
}

impl GuidanceSettings {
    /// The guidance that these settings ask for.
    /// - `thresholding`: used if it is not set
    ///
    /// # Errors
    /// For weights or timesteps that are not allowed.
    pub fn config(&self, thresholding: Thresholding) -> Result<GuidanceConfig> {
        let kinds = self.kind_guidance.clone().unwrap_or_default();
        let interval = match self.guidance_interval.as_deref() {
            None => None,
            Some(&[first, last]) => Some((first, last)),
            Some(_) => bail!("--guidance-interval needs two timesteps"),
        };
        let config = GuidanceConfig {
            joint: self.joint_guidance.unwrap_or(if kinds.is_empty() { 1.0 } else { 0.0 }),
            kinds,
            interval,
            thresholding: self.thresholding.unwrap_or(thresholding),
        };
        config.validate()?;
        Ok(config)
    }

    /// Refuses what a student cannot be told: it has the guidance that it was distilled with.
    ///
    /// # Errors
    /// When one of these is set.
    pub fn refuse_for_student(&self) -> Result<()> {
        if *self != Self::default() {
            bail!(
                "--kind-guidance, --joint-guidance, --guidance-interval and --thresholding guide a teacher, but this is a \
                 student, which has the guidance that it was distilled with; --guidance-scale is for both"
            );
        }
        Ok(())
    }
}
