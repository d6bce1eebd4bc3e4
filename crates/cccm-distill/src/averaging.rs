//! Moving averages of a network in training.

use std::collections::BTreeMap;

use candle_core::Var;
use cccm_optim::Ema;

use crate::{Error, Result};

/// A moving average that a [`Trainer`](crate::Trainer) keeps.
#[derive(Clone, Debug)]
pub struct MovingAverage {
    /// What checkpoints call it.
    pub name: &'static str,
    /// Its variables: the names and shapes of those in training.
    pub vars: BTreeMap<String, Var>,
    /// How much of it stays at every step.
    pub averaging: Averaging,
}

impl MovingAverage {
    /// The average `target`, with a short memory: the student is trained to match its answers. It is also
    /// sampled, unless there is a [`Self::sampling`] average.
    pub fn target(vars: BTreeMap<String, Var>, averaging: Averaging) -> Self {
        Self { name: "target", vars, averaging }
    }

    /// The slower average `sampling`: nothing is learnt from it, but its pictures vary less from step to step
    /// than the target's (Song & Dhariwal 2023, section 3.2, have no average as target, but one to sample
    /// from). It is warmed up, so that it forgets the initial weights sooner than its decay alone would.
    pub fn sampling(vars: BTreeMap<String, Var>, decay: f64) -> Self {
        Self { name: "sampling", vars, averaging: Averaging::WarmedUp(decay) }
    }

    /// The rule of the update that follows `updates` others.
    pub(crate) fn rule_at(&self, updates: u64) -> Result<Ema> {
        Ok(Ema::new(self.averaging.decay_at(updates))?)
    }
}

/// The share of the moving average that stays at every step, in `[0, 1]`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Averaging {
    /// The same share at every step: a student's target, which starts as the student.
    Constant(f64),
    /// At most this share, less in the beginning: `min(decay, (1 + n) / (10 + n))` after `n` updates (Abadi et al. 2016,
    /// `ExponentialMovingAverage` with `num_updates`). For networks trained from scratch: initial weights would stay in
    /// the average for thousands of steps, and only noise could be drawn with it.
    WarmedUp(f64),
}

impl Averaging {
    /// The share that stays in the update that follows `updates` others.
    pub fn decay_at(self, updates: u64) -> f64 {
        match self {
            Self::Constant(decay) => decay,
            Self::WarmedUp(decay) => decay.min((1.0 + updates as f64) / (10.0 + updates as f64)),
        }
    }

    pub(crate) fn validate(self) -> Result<()> {
        let (Self::Constant(decay) | Self::WarmedUp(decay)) = self;
        check_ema_decay(decay)
    }
}

pub(crate) fn check_ema_decay(decay: f64) -> Result<()> {
    if !(0.0..=1.0).contains(&decay) {
        return Err(Error::invalid("ema_decay", decay, "at least 0 and at most 1"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_warmed_up_average_forgets_its_start_and_then_keeps_its_decay() {
        let averaging = Averaging::WarmedUp(0.999);
        assert_eq!(averaging.decay_at(0), 0.1);
        assert_eq!(averaging.decay_at(100_000), 0.999);
        let initial_share: f64 = (0..300).map(|step| averaging.decay_at(step)).product();
        assert!(initial_share < 1e-6, "{initial_share}");
        assert_eq!(Averaging::Constant(0.95).decay_at(0), 0.95);
        assert!(Averaging::WarmedUp(1.5).validate().is_err());
    }
}
