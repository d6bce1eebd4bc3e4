//! How long the memory of a moving average is.

use crate::Result;
use crate::distill::check_ema_decay;

/// What stays of the moving average at every step, in `[0, 1]`.
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
    /// The share that stays in the update behind `updates` others.
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
