//! What a teacher learns, beyond its network.

use anyhow::Result;
use cccm_distill::TeacherConfig;

use crate::setting::{OnCard, required, settings};

settings! {
    /// What a teacher learns, beyond its network.
    pub struct TeacherSettings under "Optimisation" {
        /// Dropout in every residual block
        dropout: f64 => { value_names: &["P"], heading: "Network" },

        /// Probability that a label is dropped, so that the network also learns to predict without labels
        label_drop: f64 => { value_names: &["P"], on_card: OnCard::Told },

        /// Weight of a term that makes attribute and object act independently, for better pictures of unseen
        /// pairs; most images are evaluated three more times
        independence_weight: f64 => { value_names: &["LAMBDA"], on_card: OnCard::Told },
    }
}

impl TeacherSettings {
    /// The settings of the objective.
    /// - `ema_decay`: of the moving average
    ///
    /// # Errors
    /// When one of them is not set.
    pub fn config(&self, ema_decay: f64) -> Result<TeacherConfig> {
        Ok(TeacherConfig {
            label_drop: required(self.label_drop, "label_drop")?,
            ema_decay,
            // Runs from before this setting go on as they were.
            independence_weight: self.independence_weight.unwrap_or(0.0),
        })
    }
}
