//! AdamW over named variables.

mod at_once;
mod update;

use std::collections::BTreeMap;

use candle_core::{Tensor, Var};
use serde::{Deserialize, Serialize};

use crate::matching::{check_like, check_names};
use crate::range::{NOT_NEGATIVE, POSITIVE, check_range};
use crate::{Ema, Result};
use update::Update;

/// Settings of [`AdamW`]. The learning rate is an argument of every step instead.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AdamWConfig {
    /// Decay of the mean gradient, in `[0, 1)`. Default 0.9 (Kingma and Ba 2015, algorithm 1).
    pub beta1: f64,
    /// Decay of the mean squared gradient, in `[0, 1)`. Default 0.999 (same).
    pub beta2: f64,
    /// Added to the root of the mean square, above 0. Default 1e-8 (same).
    pub eps: f64,
    /// Share of a parameter, per unit of learning rate, that each step removes; at least 0.
    /// Default 0.
    pub weight_decay: f64,
}

impl Default for AdamWConfig {
    fn default() -> Self {
        Self { beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.0 }
    }
}

impl AdamWConfig {
    /// Checks the ranges of all fields.
    ///
    /// # Errors
    /// [`Error::InvalidConfig`](crate::Error::InvalidConfig) for the first field outside its range.
    pub fn validate(&self) -> Result<()> {
        let unit = "at least 0 and below 1";
        check_range("beta1", self.beta1, 0.0..1.0, unit)?;
        check_range("beta2", self.beta2, 0.0..1.0, unit)?;
        check_range("eps", self.eps, POSITIVE, "finite and above 0")?;
        check_range("weight_decay", self.weight_decay, NOT_NEGATIVE, "finite and at least 0")
    }
}

/// What AdamW remembers of a parameter: two tensors with its shape and dtype.
#[derive(Clone, Debug)]
pub struct Moments {
    /// Running mean of the gradient.
    pub m: Tensor,
    /// Running mean of the squared gradient, element by element.
    pub v: Tensor,
}

impl Moments {
    fn zeros_like(param: &Tensor) -> Result<Self> {
        Ok(Self { m: param.zeros_like()?, v: param.zeros_like()? })
    }

    /// A copy that no later step changes.
    fn copy(&self) -> Result<Self> {
        Ok(Self { m: self.m.force_contiguous()?, v: self.v.force_contiguous()? })
    }
}

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
