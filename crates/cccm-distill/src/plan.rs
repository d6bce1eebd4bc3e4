//! Settings of a training run, whatever is trained.

use cccm_optim::{AdamWConfig, LrScheduleConfig};
use cccm_sched::FuseClock;
use serde::{Deserialize, Serialize};

use crate::choice::choice;
use crate::{Error, Result};

/// A length of training.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Span {
    /// This many passes over the data.
    Epochs(u64),
    /// This many optimizer steps.
    Steps(u64),
}

impl Span {
    /// The span in optimizer steps.
    pub fn steps(self, steps_per_epoch: u64) -> u64 {
        match self {
            Self::Epochs(epochs) => epochs.saturating_mul(steps_per_epoch),
            Self::Steps(steps) => steps,
        }
    }

    /// The clock of the fusion schedule over a run of this length.
    pub(crate) fn fuse_clock(self, steps_per_epoch: u64) -> FuseClock {
        match self {
            Self::Epochs(epochs) => FuseClock::by_epochs(epochs, steps_per_epoch),
            Self::Steps(steps) => FuseClock::by_steps(steps, steps_per_epoch),
        }
    }

    fn validate(self, field: &'static str) -> Result<()> {
        match self {
            Self::Epochs(0) => Err(Error::invalid(field, "0 epochs", "at least 1 epoch or step")),
            Self::Steps(0) => Err(Error::invalid(field, "0 steps", "at least 1 epoch or step")),
            _ => Ok(()),
        }
    }
}

/// What to do about a step whose loss or gradient is NaN or infinite.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnNonFinite {
    /// Stop with [`Error::NonFinite`].
    #[default]
    Stop,
    /// Go on with the next batch and the weights as they are; stop with [`Error::StillNonFinite`] at the tenth such
    /// step in a row.
    Skip,
}

choice!(OnNonFinite, "answer", "stop" => Stop, "skip" => Skip);

/// Settings of a training run; the defaults are those of the published distillations.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TrainConfig {
    /// How long to train. Default 60 epochs.
    pub length: Span,
    /// Learning rate over the steps. Default 5e-6, reached over 500 steps, then constant. `total_steps` 0, the
    /// default, stands for the run's own length.
    pub lr_schedule: LrScheduleConfig,
    /// AdamW's settings. Default betas 0.9 and 0.999, eps 1e-8, no weight decay.
    pub optimizer: AdamWConfig,
    /// Norm that all gradients together are clipped to, above 0; infinity clips nothing. Default 1.
    pub max_grad_norm: f64,
    /// Pieces that the batch of a step is cut into, to need less memory; at least 1. The step is the same to
    /// rounding. Default 1.
    pub gradient_accumulation_steps: usize,
    /// What to do about a step whose loss or gradient is not finite. Default stop.
    pub on_non_finite: OnNonFinite,
    /// How often to write a checkpoint. Default every 2 epochs.
    pub checkpoint_interval: Span,
    /// How often to look at samples. Default every 2 epochs.
    pub eval_interval: Span,
}

impl Default for TrainConfig {
    fn default() -> Self {
        Self {
            length: Span::Epochs(60),
            lr_schedule: LrScheduleConfig::default(),
            optimizer: AdamWConfig::default(),
            max_grad_norm: 1.0,
            gradient_accumulation_steps: 1,
            on_non_finite: OnNonFinite::Stop,
            checkpoint_interval: Span::Epochs(2),
            eval_interval: Span::Epochs(2),
        }
    }
}

impl TrainConfig {
    /// Checks every field.
    ///
    /// # Errors
    /// [`Error::InvalidConfig`], or [`Error::Optim`] from the optimizer's settings, for the first value out of range.
    pub fn validate(&self) -> Result<()> {
        self.length.validate("length")?;
        self.checkpoint_interval.validate("checkpoint_interval")?;
        self.eval_interval.validate("eval_interval")?;
        self.lr_schedule.validate()?;
        self.optimizer.validate()?;
        if self.max_grad_norm.is_nan() || self.max_grad_norm <= 0.0 {
            return Err(Error::invalid("max_grad_norm", self.max_grad_norm, "above 0"));
        }
        if self.gradient_accumulation_steps == 0 {
            return Err(Error::invalid("gradient_accumulation_steps", 0, "at least 1"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_those_of_the_published_runs() {
        let cfg = TrainConfig::default();
        cfg.validate().unwrap();
        assert_eq!(cfg.lr_schedule.lr_at(250), 2.5e-6);
        assert_eq!(cfg.lr_schedule.lr_at(500), 5e-6);
        assert_eq!((cfg.length.steps(100), cfg.eval_interval.steps(100)), (6000, 200));
    }

    #[test]
    fn configs_survive_json() {
        let cfg =
            TrainConfig { length: Span::Steps(7), gradient_accumulation_steps: 3, ..TrainConfig::default() };
        let text = serde_json::to_string(&cfg).unwrap();
        assert!(text.contains(r#""length":{"steps":7}"#), "{text}");
        assert_eq!(serde_json::from_str::<TrainConfig>(&text).unwrap(), cfg);
        assert!(serde_json::from_str::<TrainConfig>(r#"{"lenght":{"steps":7}}"#).is_err());
    }

    #[test]
    fn bad_values_are_named() {
        let bad = |cfg: TrainConfig, name: &str| match cfg.validate() {
            Err(Error::InvalidConfig { field, .. }) => assert_eq!(field, name),
            other => panic!("{other:?}"),
        };
        bad(TrainConfig { length: Span::Epochs(0), ..Default::default() }, "length");
        bad(TrainConfig { eval_interval: Span::Steps(0), ..Default::default() }, "eval_interval");
        bad(TrainConfig { checkpoint_interval: Span::Steps(0), ..Default::default() }, "checkpoint_interval");
        bad(TrainConfig { max_grad_norm: f64::NAN, ..Default::default() }, "max_grad_norm");
        bad(TrainConfig { max_grad_norm: 0.0, ..Default::default() }, "max_grad_norm");
        bad(
            TrainConfig { gradient_accumulation_steps: 0, ..Default::default() },
            "gradient_accumulation_steps",
        );
        let no_clipping = TrainConfig { max_grad_norm: f64::INFINITY, ..Default::default() };
        no_clipping.validate().unwrap();
    }
}
