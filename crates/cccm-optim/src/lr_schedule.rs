//! Learning rate over the steps of a run, as `diffusers.optimization.get_scheduler` has it.

use std::f64::consts::PI;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::range::{POSITIVE, check_range};
use crate::{Error, Result};

/// Shape of the learning rate after the warmup. Each begins with one, [`LrSchedule::Constant`]
/// aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LrSchedule {
    /// The peak from the first step on.
    Constant,
    /// The peak.
    ConstantWithWarmup,
    /// A straight line to 0.
    Linear,
    /// Half a cosine wave to 0.
    Cosine,
    /// Half a cosine wave to 0, [`LrScheduleConfig::cycles`] times.
    CosineWithRestarts,
    /// A power of the steps that are left, to [`LrScheduleConfig::lr_end`].
    Polynomial,
}

impl LrSchedule {
    /// Every schedule.
    pub const ALL: [Self; 6] = [
        Self::Constant,
        Self::ConstantWithWarmup,
        Self::Linear,
        Self::Cosine,
        Self::CosineWithRestarts,
        Self::Polynomial,
    ];

    /// Its published name, in `snake_case`, as in files and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Constant => "constant",
            Self::ConstantWithWarmup => "constant_with_warmup",
            Self::Linear => "linear",
            Self::Cosine => "cosine",
            Self::CosineWithRestarts => "cosine_with_restarts",
            Self::Polynomial => "polynomial",
        }
    }
}

impl fmt::Display for LrSchedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for LrSchedule {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let names = || Self::ALL.map(Self::name).to_vec();
        let unknown = || Error::UnknownLrSchedule { got: name.to_owned(), names: names() };
        Self::ALL.into_iter().find(|schedule| schedule.name() == name).ok_or_else(unknown)
    }
}

/// A schedule and its numbers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LrScheduleConfig {
    /// The shape. Default [`LrSchedule::ConstantWithWarmup`].
    pub schedule: LrSchedule,
    /// Learning rate at the peak, finite and above 0. Default 5e-6.
    pub lr: f64,
    /// Steps over which the learning rate rises from 0 to the peak. Default 500.
    pub warmup_steps: u64,
    /// Steps of the whole run, warmup included; the two constant schedules do without. Where it
    /// is not above `warmup_steps`, the run ends within the warmup. Default 0.
    pub total_steps: u64,
    /// Waves of [`LrSchedule::CosineWithRestarts`], at least 1. Default 1.
    pub cycles: u32,
    /// Exponent of [`LrSchedule::Polynomial`], finite and above 0. Default 1.
    pub power: f64,
    /// Learning rate at the end of [`LrSchedule::Polynomial`], at least 0 and below `lr`.
    /// Default 1e-7.
    pub lr_end: f64,
}

impl Default for LrScheduleConfig {
    fn default() -> Self {
        Self {
            schedule: LrSchedule::ConstantWithWarmup,
            lr: 5e-6,
            warmup_steps: 500,
            total_steps: 0,
            cycles: 1,
            power: 1.0,
            lr_end: 1e-7,
        }
    }
}

impl LrScheduleConfig {
    /// Checks the ranges of the fields that the schedule uses.
    ///
    /// # Errors
    /// [`Error::InvalidConfig`] for the first field outside its range.
    pub fn validate(&self) -> Result<()> {
        check_range("lr", self.lr, POSITIVE, "finite and above 0")?;
        if self.schedule == LrSchedule::CosineWithRestarts {
            check_range("cycles", self.cycles.into(), 1.0.., "at least 1")?;
        }
        if self.schedule == LrSchedule::Polynomial {
            check_range("power", self.power, POSITIVE, "finite and above 0")?;
            check_range("lr_end", self.lr_end, 0.0..self.lr, "at least 0 and below `lr`")?;
        }
        Ok(())
    }

    /// Learning rate of the update that follows `step` others: `lr * factor(step)`.
    pub fn lr_at(&self, step: u64) -> f64 {
        self.lr * self.factor(step)
    }

    /// What the peak is multiplied with for the update that follows `step` others, in `[0, 1]`.
    ///
    /// With a warmup of `n` steps the first `n` updates have `step / n`, so the very first has 0.
    /// Then, with `progress` from 0 at the end of the warmup to 1 at `total_steps`:
    ///
    /// | schedule | factor |
    /// | --- | --- |
    /// | constant, constant with warmup | `1` |
    /// | linear | `1 - progress` |
    /// | cosine | `(1 + cos(π progress)) / 2` |
    /// | cosine with restarts | `(1 + cos(π (cycles progress mod 1))) / 2`, and 0 at the end |
    /// | polynomial | `end + (1 - end) (1 - progress)^power` with `end = lr_end / lr` |
    pub fn factor(&self, step: u64) -> f64 {
        if self.schedule == LrSchedule::Constant {
            return 1.0;
        }
        if step < self.warmup_steps {
            return step as f64 / self.warmup_steps as f64;
        }
        let progress = self.progress(step);
        match self.schedule {
            LrSchedule::Constant | LrSchedule::ConstantWithWarmup => 1.0,
            LrSchedule::Linear => 1.0 - progress,
            LrSchedule::Cosine => half_cosine(progress),
            LrSchedule::CosineWithRestarts if progress < 1.0 => {
                half_cosine((f64::from(self.cycles) * progress).fract())
            }
            LrSchedule::CosineWithRestarts => 0.0,
            LrSchedule::Polynomial => {
                let end = self.lr_end / self.lr;
                end + (1.0 - end) * (1.0 - progress).powf(self.power)
            }
        }
    }

    /// How far `step` is from the end of the warmup (0) to `total_steps` (1).
    fn progress(&self, step: u64) -> f64 {
        let length = self.total_steps.saturating_sub(self.warmup_steps).max(1);
        let progress = (step - self.warmup_steps) as f64 / length as f64;
        // Differs: past the end diffusers' cosine climbs again; every schedule here stays there.
        progress.min(1.0)
    }
}

/// From 1 down to 0 as `progress` goes from 0 to 1.
fn half_cosine(progress: f64) -> f64 {
    0.5 * (1.0 + (PI * progress).cos())
}
