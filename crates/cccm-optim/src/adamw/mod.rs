//! AdamW over named variables.

mod at_once;
mod config;
mod moments;
mod update;

use std::collections::BTreeMap;

use candle_core::{Tensor, Var};

use crate::matching::{check_like, check_names};
use crate::range::{NOT_NEGATIVE, check_range};
use crate::{Ema, Result};
use update::Update;

pub use config::AdamWConfig;
pub use moments::Moments;

/// Adam with decoupled weight decay (Loshchilov and Hutter 2019, algorithm 2, without the
/// schedule multiplier), in the arithmetic of `torch.optim.AdamW`.
///
/// Variables are visited in the order of their names, and every element is computed on its own,
/// so the result does not depend on the number of threads. `f32` variables on the CPU are updated
/// in one pass over memory, those on an NVIDIA GPU (feature `cuda`) in one launch for all of them;
/// others with candle's operations, in the variable's own dtype (keep master weights in `f32`).
#[derive(Debug)]
pub struct AdamW {
    cfg: AdamWConfig,
    params: BTreeMap<String, Var>,
    moments: BTreeMap<String, Moments>,
    steps: u64,
}

impl AdamW {
    /// An optimizer of `params` that has done no step.
    ///
    /// # Errors
    /// [`Error::InvalidConfig`](crate::Error::InvalidConfig) as [`AdamWConfig::validate`]; [`Error::Candle`](crate::Error::Candle) when the moments
    /// cannot be allocated.
    pub fn new(params: BTreeMap<String, Var>, cfg: AdamWConfig) -> Result<Self> {
        cfg.validate()?;
        let zeros = |(name, var): (&String, &Var)| Ok((name.clone(), Moments::zeros_like(var)?));
        let moments = params.iter().map(zeros).collect::<Result<_>>()?;
        Ok(Self { cfg, params, moments, steps: 0 })
    }

    /// One update of every variable, written into its own storage.
    ///
    /// - `grads`: one per variable, under its name, with its shape, dtype and device
    ///   (see [`gradients`](crate::gradients)); left as they are
    /// - `lr`: learning rate, finite, at least 0
    /// - `grad_scale`: multiplies the gradients, finite, at least 0: 1, or what
    ///   [`clip_factor`](crate::clip_factor) gave
    ///
    /// # Errors
    /// [`Error::InvalidConfig`](crate::Error::InvalidConfig) for `lr` or `grad_scale`, as a loss that is not finite gives;
    /// [`Error::MissingName`](crate::Error::MissingName), [`Error::UnknownName`](crate::Error::UnknownName) or [`Error::Mismatch`](crate::Error::Mismatch) when the gradients
    /// are not those of the variables. All this is checked before the first variable changes.
    /// [`Error::Candle`](crate::Error::Candle) when an operation fails, for example as a gradient is a variable itself.
    pub fn step(&mut self, grads: &BTreeMap<String, Tensor>, lr: f64, grad_scale: f64) -> Result<()> {
        let update = self.update(grads, lr, grad_scale)?;
        if !self.at_once(&update, grads, None)? {
            // The three maps have the same names, hence the same order.
            for ((param, moments), grad) in
                self.params.values().zip(self.moments.values_mut()).zip(grads.values())
            {
                update.apply(param, moments, grad, None)?;
            }
        }
        self.steps += 1;
        Ok(())
    }

    /// [`Self::step`] and then [`Ema::update`] of `target` towards the variables, the same bits, in one pass over memory.
    ///
    /// # Errors
    /// Those of both; all that can be checked is, before the first variable changes.
    pub fn step_and_average(
        &mut self,
        grads: &BTreeMap<String, Tensor>,
        lr: f64,
        grad_scale: f64,
        ema: Ema,
        target: &BTreeMap<String, Var>,
    ) -> Result<()> {
        let update = self.update(grads, lr, grad_scale)?;
        Ema::check(target, &self.params)?;
        if !self.at_once(&update, grads, Some((ema, target)))? {
            let states = self.moments.values_mut().zip(grads.values()).zip(target.values());
            for (param, ((moments, grad), target)) in self.params.values().zip(states) {
                update.apply(param, moments, grad, Some((ema, target)))?;
            }
        }
        self.steps += 1;
        Ok(())
    }

    /// The arithmetic of the next step, once its arguments are found to fit.
    fn update(&self, grads: &BTreeMap<String, Tensor>, lr: f64, grad_scale: f64) -> Result<Update> {
        check_range("lr", lr, NOT_NEGATIVE, "finite and at least 0")?;
        check_range("grad_scale", grad_scale, NOT_NEGATIVE, "finite and at least 0")?;
        check_names("gradient", grads, &self.params)?;
        for ((name, grad), param) in grads.iter().zip(self.params.values()) {
            check_like("gradient", name, grad, param)?;
        }
        Ok(Update::new(&self.cfg, self.steps + 1, lr, grad_scale))
    }

    /// Updates done so far, those before a [`restore`](Self::restore) included.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// The moments of every variable, copied: with [`steps`](Self::steps), all that a checkpoint
    /// needs besides the variables.
    ///
    /// # Errors
    /// [`Error::Candle`](crate::Error::Candle) when a tensor cannot be copied.
    pub fn state(&self) -> Result<BTreeMap<String, Moments>> {
        self.moments.iter().map(|(name, moments)| Ok((name.clone(), moments.copy()?))).collect()
    }

    /// Continues where the optimizer stood that gave `steps` and `moments`, bit for bit if the
    /// variables have their values of then. The tensors are copied, to the device of the variable.
    ///
    /// # Errors
    /// [`Error::MissingName`](crate::Error::MissingName), [`Error::UnknownName`](crate::Error::UnknownName) or [`Error::Mismatch`](crate::Error::Mismatch) when the moments are
    /// not those of the variables, [`Error::Candle`](crate::Error::Candle) when one cannot be copied; the optimizer is
    /// then as it was.
    pub fn restore(&mut self, steps: u64, moments: BTreeMap<String, Moments>) -> Result<()> {
        check_names("moments", &moments, &self.params)?;
        let mut restored = BTreeMap::new();
        for ((name, theirs), param) in moments.into_iter().zip(self.params.values()) {
            let (m, v) = (theirs.m.to_device(param.device())?, theirs.v.to_device(param.device())?);
            check_like("first moment", &name, &m, param)?;
            check_like("second moment", &name, &v, param)?;
            restored.insert(name, Moments { m, v }.copy()?);
        }
        (self.steps, self.moments) = (steps, restored);
        Ok(())
    }
}
