//! How long and how fast to learn.

#![expect(clippy::doc_markdown, reason = "help texts are read in a terminal")]

use anyhow::bail;
use cccm_distill::{OnNonFinite, Span, TrainConfig};
use cccm_optim::{AdamWConfig, LrSchedule, LrScheduleConfig};
use cccm_unet::{Parameters, Tables, UNet, UNetConfig};
use clap::builder::RangedU64ValueParser;
use serde::{Deserialize, Serialize};

use super::required;

/// How long and how fast to learn.
#[derive(Clone, Debug, Default, clap::Args, Serialize, Deserialize)]
#[command(next_help_heading = "Optimisation")]
#[serde(default)]
pub(crate) struct OptimArgs {
    /// Passes over the data
    #[arg(long, value_name = "N", conflicts_with = "max_steps", value_parser = count::<u64>())]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) epochs: Option<u64>,

    /// Optimizer steps, instead of --epochs
    #[arg(long, value_name = "N", value_parser = count::<u64>())]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) max_steps: Option<u64>,

    /// Images per batch, on each of --devices if they are several
    #[arg(long, value_name = "N", value_parser = count::<usize>())]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) train_batch_size: Option<usize>,

    /// Batches whose gradients make one optimizer step
    #[arg(long, value_name = "N", value_parser = count::<usize>())]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) gradient_accumulation_steps: Option<usize>,

    /// Keep only the results of the network's blocks for the backward pass, and compute the blocks once more there:
    /// about half the memory for activations, an eighth more time
    #[arg(long, num_args = 0, default_missing_value = "true")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) recompute: Option<bool>,

    /// Learning rate
    #[arg(long, value_name = "RATE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) lr: Option<f64>,

    /// Learning rate over the run: constant, constant_with_warmup, linear, cosine, cosine_with_restarts, polynomial
    #[arg(long, value_name = "NAME")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) lr_schedule: Option<LrSchedule>,

    /// Steps over which the learning rate rises
    #[arg(long, value_name = "N")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) lr_warmup_steps: Option<u64>,

    /// Decay of AdamW's mean gradient
    #[arg(long, value_name = "BETA")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) adam_beta1: Option<f64>,

    /// Decay of AdamW's mean squared gradient
    #[arg(long, value_name = "BETA")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) adam_beta2: Option<f64>,

    /// AdamW's weight decay
    #[arg(long, value_name = "RATE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) adam_weight_decay: Option<f64>,

    /// AdamW's epsilon
    #[arg(long, value_name = "EPS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) adam_epsilon: Option<f64>,

    /// Norm that all gradients together are clipped to
    #[arg(long, value_name = "NORM")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) max_grad_norm: Option<f64>,

    /// When a loss or gradient is not finite: stop, or skip the step (ten in a row stop all the same)
    #[arg(long, value_name = "ANSWER")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) on_non_finite: Option<OnNonFinite>,

    /// What stays of the moving average at every step
    #[arg(long, value_name = "DECAY")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ema_decay: Option<f64>,

    /// Epochs between checkpoints
    #[arg(long, value_name = "EPOCHS", conflicts_with = "checkpoint_steps", value_parser = count::<u64>())]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) checkpoint_interval: Option<u64>,

    /// Steps between checkpoints, instead of --checkpoint-interval
    #[arg(long, value_name = "N", value_parser = count::<u64>())]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) checkpoint_steps: Option<u64>,

    /// Checkpoints to keep; the oldest go first
    #[arg(long, value_name = "N", value_parser = count::<usize>())]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) checkpoints_total_limit: Option<usize>,

    /// Epochs between picture grids
    #[arg(long, value_name = "EPOCHS", conflicts_with = "eval_steps", value_parser = count::<u64>())]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) eval_interval: Option<u64>,

    /// Steps between picture grids, instead of --eval-interval
    #[arg(long, value_name = "N", value_parser = count::<u64>())]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) eval_steps: Option<u64>,

    /// Pictures of each pair to score at every --eval-interval, as `cccm eval` does: accuracy on seen and unseen pairs,
    /// distances to real images. Before the first step a classifier is trained, unless there is one for these data
    #[arg(long, value_name = "N")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) eval_samples: Option<usize>,
}

impl OptimArgs {
    /// The trainer's settings.
    pub(crate) fn train_config(&self) -> anyhow::Result<TrainConfig> {
        self.check_counts()?;
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

    /// The network to train.
    pub(crate) fn trainable(
        &self,
        cfg: &UNetConfig,
        tables: Tables,
        parameters: &Parameters,
    ) -> anyhow::Result<UNet> {
        let network = UNet::trainable(cfg, tables, parameters)?;
        Ok(if self.recompute.unwrap_or(false) { network.recomputing() } else { network })
    }

    /// Images per optimizer step, on each device.
    pub(crate) fn images_per_step(&self) -> anyhow::Result<usize> {
        self.check_counts()?;
        let batch = required(self.train_batch_size, "train_batch_size")?;
        Ok(batch.saturating_mul(self.gradient_accumulation_steps.unwrap_or(1)))
    }

    /// Refuses what flags cannot say, but a file of settings can.
    fn check_counts(&self) -> anyhow::Result<()> {
        let wide = |count: Option<usize>| count.map(|count| count as u64);
        let counts = [
            ("epochs", self.epochs),
            ("max_steps", self.max_steps),
            ("train_batch_size", wide(self.train_batch_size)),
            ("gradient_accumulation_steps", wide(self.gradient_accumulation_steps)),
            ("checkpoint_interval", self.checkpoint_interval),
            ("checkpoint_steps", self.checkpoint_steps),
            ("checkpoints_total_limit", wide(self.checkpoints_total_limit)),
            ("eval_interval", self.eval_interval),
            ("eval_steps", self.eval_steps),
        ];
        match counts.into_iter().find(|(_, count)| *count == Some(0)) {
            Some((name, _)) => bail!("`{name}` is 0, but must be at least 1"),
            None => Ok(()),
        }
    }
}

/// The parser of flags that count from 1.
fn count<T: TryFrom<u64>>() -> RangedU64ValueParser<T> {
    RangedU64ValueParser::new().range(1..)
}

fn span(epochs: Option<u64>, steps: Option<u64>, name: &str) -> anyhow::Result<Span> {
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
            let settings: OptimArgs = settings.try_into().unwrap();
            let refusals = [settings.train_config().unwrap_err(), settings.images_per_step().unwrap_err()];
            for refused in refusals.map(|refused| refused.to_string()) {
                assert!(refused.contains(&format!("`{name}` is 0")), "{refused}");
            }
            let command = <OptimArgs as clap::Args>::augment_args(clap::Command::new("train"));
            let flag = format!("--{}", name.replace('_', "-"));
            let refused =
                command.try_get_matches_from(["train", flag.as_str(), "0"]).unwrap_err().to_string();
            assert!(refused.contains(&flag) && refused.contains("1.."), "{refused}");
        }
    }
}
