//! How a teacher is guided, beyond the guidance scale.

use anyhow::{Result, bail};
use cccm_sched::{GuidanceConfig, Thresholding};
use serde::{Deserialize, Serialize};

/// How a teacher is guided, beyond the guidance scale.
#[derive(Clone, Debug, Default, PartialEq, clap::Args, Serialize, Deserialize)]
#[command(next_help_heading = "Guidance of a teacher")]
#[serde(default)]
pub(crate) struct GuidanceArgs {
    /// Weights of the attribute's and the object's own condition in the direction of guidance, both multiplied by the guidance
    /// scale: draws pairs that no image showed where the pair's joint condition does not. 3 evaluations a step [default:
    /// the joint condition alone]
    #[arg(long, value_names = ["ATTRIBUTE", "OBJECT"], num_args = 2, action = clap::ArgAction::Set, allow_negative_numbers = true)]
    #[serde(skip_serializing_if = "Option::is_none")]
    kind_guidance: Option<Vec<f64>>,

    /// Weight of the pair's joint condition in the direction of guidance [default: 1, or 0 where kinds have weights]
    #[arg(long, value_name = "WEIGHT", allow_negative_numbers = true)]
    #[serde(skip_serializing_if = "Option::is_none")]
    joint_guidance: Option<f64>,

    /// Guide between these timesteps alone, and follow the labels without guidance elsewhere [default: everywhere]
    #[arg(long, value_names = ["LOW", "HIGH"], num_args = 2, action = clap::ArgAction::Set)]
    #[serde(skip_serializing_if = "Option::is_none")]
    guidance_interval: Option<Vec<u32>>,

    /// What is done to clean images that leave the range of colours: none as published, clip, or dynamic, which is for
    /// photographs
    #[arg(long, value_name = "NAME")]
    #[serde(skip_serializing_if = "Option::is_none")]
    thresholding: Option<Thresholding>,
}

impl GuidanceArgs {
    /// Guidance as asked for.
    /// - `thresholding`: where nothing is said of it
    pub(crate) fn config(&self, thresholding: Thresholding) -> Result<GuidanceConfig> {
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
    pub(crate) fn refuse_for_student(&self) -> Result<()> {
        if *self != Self::default() {
            bail!(
                "--kind-guidance, --joint-guidance, --guidance-interval and --thresholding guide a teacher, but this is a \
                 student, which has the guidance that it was distilled with; --guidance-scale is for both"
            );
        }
        Ok(())
    }
}
