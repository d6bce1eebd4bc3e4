//! Exponential moving average of variables.

use std::collections::BTreeMap;

use candle_core::{Result as CandleResult, Storage, Var};
use rayon::prelude::*;

use crate::Result;
use crate::in_place::{CHUNK, has_slice, with_slices};
use crate::matching::{check_like, check_names};
use crate::range::check_range;

/// The rule `target = decay * target + (1 - decay) * source` (Polyak averaging with a short
/// memory; the target network of Song et al. 2023, section 4, equation 8).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ema {
    decay: f64,
}

impl Ema {
    /// `decay`: what stays of the target, in `[0, 1]`.
    ///
    /// # Errors
    /// [`Error::InvalidConfig`](crate::Error::InvalidConfig) when it is outside.
    pub fn new(decay: f64) -> Result<Self> {
        check_range("decay", decay, 0.0..=1.0, "at least 0 and at most 1")?;
        Ok(Self { decay })
    }

    /// Moves every variable of `target` towards its namesake in `source`, in place: networks that
    /// share the storage see it, and no graph is recorded.
    ///
    /// # Errors
    /// [`Error::MissingName`](crate::Error::MissingName), [`Error::UnknownName`](crate::Error::UnknownName) or [`Error::Mismatch`](crate::Error::Mismatch) when the two do not
    /// have the same names, shapes, dtypes and devices; nothing is changed then.
    /// [`Error::Candle`](crate::Error::Candle) when an operation fails, for example as both are the same variable.
    pub fn update(&self, target: &BTreeMap<String, Var>, source: &BTreeMap<String, Var>) -> Result<()> {
        Self::check(target, source)?;
        target.values().zip(source.values()).try_for_each(|(target, source)| self.follow(target, source))?;
        Ok(())
    }

    /// Fails unless both have the same names, shapes, dtypes and devices.
    pub(crate) fn check(target: &BTreeMap<String, Var>, source: &BTreeMap<String, Var>) -> Result<()> {
        check_names("target variable", target, source)?;
        for ((name, target), source) in target.iter().zip(source.values()) {
            check_like("target variable", name, target, source)?;
            let ((target, _), (source, _)) = (target.storage_and_layout(), source.storage_and_layout());
            if std::ptr::eq::<Storage>(&raw const *target, &raw const *source) {
                let itself = format!("the average `{name}` is the variable itself");
                return Err(candle_core::Error::Msg(itself).into());
            }
        }
        Ok(())
    }

    /// Moves one variable.
    pub(crate) fn follow(self, target: &Var, source: &Var) -> CandleResult<()> {
        if has_slice(target) && has_slice(source) {
            self.fused(target, source)
        } else {
            self.composed(target, source)
        }
    }

    /// Of the target and of the source.
    pub(crate) fn weights(self) -> (f32, f32) {
        (self.decay as f32, (1.0 - self.decay) as f32)
    }

    pub(crate) fn elements(self, target: &mut [f32], source: &[f32]) {
        let (keep, take) = self.weights();
        for (t, s) in target.iter_mut().zip(source) {
            *t = keep * *t + take * s;
        }
    }

    fn fused(self, target: &Var, source: &Var) -> CandleResult<()> {
        with_slices(target, source, |target, source| {
            if target.len() <= CHUNK {
                self.elements(target, source);
            } else {
                let chunks = target.par_chunks_mut(CHUNK).zip(source.par_chunks(CHUNK));
                chunks.for_each(|(target, source)| self.elements(target, source));
            }
            Ok(())
        })
    }

    /// The same from candle's operations, for every device and dtype.
    fn composed(self, target: &Var, source: &Var) -> CandleResult<()> {
        let kept = target.as_detached_tensor().affine(self.decay, 0.0)?;
        let taken = source.as_detached_tensor().affine(1.0 - self.decay, 0.0)?;
        target.set(&(kept + taken)?)
    }
}
