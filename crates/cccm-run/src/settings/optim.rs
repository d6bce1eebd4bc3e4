//! How long and how fast to learn.

#![expect(clippy::doc_markdown, reason = "help texts are read in a terminal")]

use anyhow::Result;
use cccm_distill::{OnNonFinite, Span, TrainConfig};
use cccm_optim::{AdamWConfig, LrSchedule, LrScheduleConfig};
use cccm_unet::{Parameters, Tables, UNet, UNetConfig};

use crate::setting::{Effect, OnCard, SettingGroup, required, settings};

settings! {
    /// How long and how fast to learn.
    pub struct OptimSettings under "Optimisation" {
        /// Passes over the data
        epochs: u64 => { value_names: &["N"], at_least: Some(1), excludes: &["max_steps"], on_card: OnCard::Told },

        /// Optimizer steps, instead of --epochs
        max_steps: u64 => { value_names: &["N"], at_least: Some(1), on_card: OnCard::Told },

        /// Images per batch; with several --devices, on each of them
        train_batch_size: usize => { value_names: &["N"], at_least: Some(1), on_card: OnCard::Told },

        /// Batches whose gradients make one optimizer step
        gradient_accumulation_steps: usize => { value_names: &["N"], at_least: Some(1), on_card: OnCard::Told },

        /// Keep only the results of the network's blocks for the backward pass, and compute the blocks once more there:
        /// about half the memory for activations, an eighth more time
        recompute: bool => {  },

        /// Learning rate
        lr: f64 => { value_names: &["RATE"], on_card: OnCard::Told },

        /// Learning rate over the run: constant, constant_with_warmup, linear, cosine, cosine_with_restarts, polynomial
        lr_schedule: LrSchedule => { value_names: &["NAME"], on_card: OnCard::Told },

        /// Steps over which the learning rate rises
        lr_warmup_steps: u64 => { value_names: &["N"] },

        /// Decay of AdamW's mean gradient
        adam_beta1: f64 => { value_names: &["BETA"] },

        /// Decay of AdamW's mean squared gradient
        adam_beta2: f64 => { value_names: &["BETA"] },

        /// AdamW's weight decay
        adam_weight_decay: f64 => { value_names: &["RATE"] },

        /// AdamW's epsilon
        adam_epsilon: f64 => { value_names: &["EPS"] },

        /// Norm that all gradients together are clipped to
        max_grad_norm: f64 => { value_names: &["NORM"] },

        /// When a loss or gradient is not finite: stop, or skip the step (ten such steps in a row stop the
        /// run)
        on_non_finite: OnNonFinite => { value_names: &["ANSWER"], effect: Effect::Bookkeeping },

        /// Share of the moving average that stays at every step
        ema_decay: f64 => { value_names: &["DECAY"], on_card: OnCard::Told },

        /// Epochs between checkpoints
        checkpoint_interval: u64 => { value_names: &["EPOCHS"], at_least: Some(1), excludes: &["checkpoint_steps"], effect: Effect::Bookkeeping },

        /// Steps between checkpoints, instead of --checkpoint-interval
        checkpoint_steps: u64 => { value_names: &["N"], at_least: Some(1), effect: Effect::Bookkeeping },

        /// Checkpoints to keep; the oldest go first
        checkpoints_total_limit: usize => { value_names: &["N"], at_least: Some(1), effect: Effect::Bookkeeping },

        /// Epochs between picture grids
        eval_interval: u64 => { value_names: &["EPOCHS"], at_least: Some(1), excludes: &["eval_steps"], effect: Effect::Bookkeeping },

        /// Steps between picture grids, instead of --eval-interval
        eval_steps: u64 => { value_names: &["N"], at_least: Some(1), effect: Effect::Bookkeeping },

        /// Pictures of each pair to score at every --eval-interval, as `cccm eval` does: accuracy on seen and unseen pairs,
        /// distances to real images. Before the first step a classifier is trained, unless there is one for these data
        eval_samples: usize => { value_names: &["N"], effect: Effect::Bookkeeping },
    }
}

impl OptimSettings {
    /// The trainer's settings.
    ///
    /// # Errors
    /// When one of them is not set or out of range.
    pub fn train_config(&self) -> Result<TrainConfig> {
        self.check()?;
        let length = span(self.epochs, self.max_steps, "epochs")?;
        Ok(TrainConfig {
            length,
            lr_schedule: LrScheduleConfig {
                schedule: required(self.lr_schedule, "lr_schedule")?,
                lr: required(self.lr, "lr")?,
                warmup_steps: required(self.lr_warmup_steps, "lr_warmup_steps")?,
                ..LrScheduleConfig::default()
            },
            optimizer: AdamWConfig {
                beta1: required(self.adam_beta1, "adam_beta1")?,
                beta2: required(self.adam_beta2, "adam_beta2")?,
                eps: required(self.adam_epsilon, "adam_epsilon")?,
                weight_decay: required(self.adam_weight_decay, "adam_weight_decay")?,
            },
            max_grad_norm: required(self.max_grad_norm, "max_grad_norm")?,
            gradient_accumulation_steps: self.gradient_accumulation_steps.unwrap_or(1),
            on_non_finite: required(self.on_non_finite, "on_non_finite")?,
            checkpoint_interval: span(
                self.checkpoint_interval,
                self.checkpoint_steps,
                "checkpoint_interval",
            )?,
            eval_interval: span(self.eval_interval, self.eval_steps, "eval_interval")?,
        })
    }

    /// The network to train, with or without recomputation.
    ///
    /// # Errors
    /// As [`UNet::trainable`].
    pub fn trainable(&self, cfg: &UNetConfig, tables: Tables, parameters: &Parameters) -> Result<UNet> {
        let network = UNet::trainable(cfg, tables, parameters)?;
        Ok(if self.recompute.unwrap_or(false) { network.recomputing() } else { network })
    }

    /// Images per optimizer step, on each device.
    ///
    /// # Errors
    /// When the batch size is not set or 0.
    pub fn images_per_step(&self) -> Result<usize> {
        self.check()?;
        let batch = required(self.train_batch_size, "train_batch_size")?;
        Ok(batch.saturating_mul(self.gradient_accumulation_steps.unwrap_or(1)))
    }
}

fn span(epochs: Option<u64>, steps: Option<u64>, name: &str) -> Result<Span> {
    match (epochs, steps) {
        (_, Some(steps)) => Ok(Span::Steps(steps)),
        (epochs, None) => Ok(Span::Epochs(required(epochs, name)?)),
    }
}

#[cfg(test)]
mod tests {
    use toml::Table;

    use super::*;

    #[test]
    fn counts_of_nothing_are_refused_by_name() {
        for name in [
            "epochs",
            "max_steps",
            "train_batch_size",
            "gradient_accumulation_steps",
            "checkpoint_interval",
            "checkpoint_steps",
            "checkpoints_total_limit",
            "eval_interval",
            "eval_steps",
        ] {
            let settings: Table = format!("{name} = 0").parse().unwrap();
            let settings: OptimSettings = settings.try_into().unwrap();
            let refusals = [settings.train_config().unwrap_err(), settings.images_per_step().unwrap_err()];
            for refused in refusals.map(|refused| refused.to_string()) {
                assert!(refused.contains(&format!("`{name}` is 0")), "{refused}");
            }
        }
    }
}
