//! How a teacher is guided, beyond the guidance scale.

use anyhow::{Result, bail};
use cccm_sched::{GuidanceConfig, Thresholding};

use crate::setting::{Negative, Values, settings};

settings! {
    /// How a teacher is guided, beyond the guidance scale.
    pub struct GuidanceSettings under "Guidance of a teacher" {
        /// Weights of each label kind's own condition in the direction of guidance, all multiplied by the guidance scale: draws
        /// combinations that no image showed where the joint condition does not. Of two kinds 3 evaluations a step [default: the
        /// joint condition alone]
        kind_guidance: Vec<f64> => { value_names: &["WEIGHT"], negative: Negative::Number },

        /// Weight of the joint condition of all labels in the direction of guidance [default: 1, or 0 where kinds have weights]
        joint_guidance: f64 => { value_names: &["WEIGHT"], negative: Negative::Number },

        /// Guide between these timesteps alone, and follow the labels without guidance elsewhere [default: everywhere]
        guidance_interval: Vec<u32> => { value_names: &["LOW", "HIGH"], values: Values::Exactly(2) },

        /// What is done to clean images that leave the range of colours: none as published, clip, or dynamic, which is for
        /// photographs
        thresholding: Thresholding => { value_names: &["NAME"] },
    }
}

impl GuidanceSettings {
    /// Guidance as asked for.
    /// - `thresholding`: where nothing is said of it
    ///
    /// # Errors
    /// For weights or timesteps that cannot be.
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
