//! What a trainer minimises.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::ops::AddAssign;
use std::time::{Duration, Instant};

use candle_core::Tensor;
use cccm_sched::{Conditions, Denoiser, Draws};
use serde::Serialize;

use crate::{Result, TrainBatch};

/// A loss over batches, whose gradients a [`Trainer`](crate::Trainer) follows.
///
/// Every sample must count the same, and what is drawn for one must not depend on the others in its batch: then a
/// batch gives the same gradients in one piece as in several.
pub trait Objective {
    /// What checkpoints call the network in training: `student`, `teacher`.
    fn trained_name(&self) -> &'static str;

    /// Names of all [`Evaluation::terms`] that there may be. By default none.
    fn terms(&self) -> &'static [&'static str] {
        &[]
    }

    /// The loss of these samples, as the mean over them.
    /// - `draws`: all randomness, one stream per sample of the batch
    /// - `progress`: how far training is, in `(0, 1]`, constant within an epoch
    ///
    /// # Errors
    /// When shapes differ or a network fails.
    fn evaluate(&self, batch: &TrainBatch, draws: &Draws, progress: f64) -> Result<Evaluation>;
}

/// What [`Objective::evaluate`] returns for some samples.
#[derive(Clone, Debug)]
pub struct Evaluation {
    /// The loss with its graph: a scalar, `f32`.
    pub loss: Tensor,
    /// Parts of the loss to be reported beside it, weights included, by name: scalars, `f32`. Their names are
    /// among [`Objective::terms`]. Only `loss` is differentiated.
    pub terms: BTreeMap<&'static str, Tensor>,
    /// The teacher's weight `c_t` in the target, where there is one.
    pub c_t: Option<f64>,
    /// Evaluations and time of the networks.
    pub work: Work,
}

impl Evaluation {
    /// A loss without terms.
    /// - `loss`: as the field
    pub fn new(loss: Tensor, work: Work) -> Self {
        Self { loss, terms: BTreeMap::new(), c_t: None, work }
    }

    /// The same with one more term, if there is one.
    #[must_use]
    pub fn with_term(mut self, name: &'static str, term: Option<Tensor>) -> Self {
        self.terms.extend(term.map(|term| (name, term)));
        self
    }

    /// The same with the teacher's weight in the target.
    #[must_use]
    pub fn with_c_t(self, c_t: f64) -> Self {
        Self { c_t: Some(c_t), ..self }
    }
}

/// What the forward passes of an objective cost, by the name of the network.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Work(BTreeMap<&'static str, Forward>);

impl Work {
    /// What the passes of one network cost; zero if it was not evaluated.
    pub fn of(&self, network: &str) -> Forward {
        self.0.get(network).copied().unwrap_or_default()
    }
}

impl FromIterator<(&'static str, Forward)> for Work {
    fn from_iter<I: IntoIterator<Item = (&'static str, Forward)>>(forwards: I) -> Self {
        Self(forwards.into_iter().collect())
    }
}

/// What the forward passes of one network cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Forward {
    /// Evaluations: images that went through, so that a guided teacher's image counts twice.
    pub images: u64,
    /// Seconds spent, without waiting for a GPU that computes asynchronously.
    pub secs: f64,
}

impl AddAssign for Forward {
    fn add_assign(&mut self, other: Self) {
        self.images += other.images;
        self.secs += other.secs;
    }
}

impl AddAssign for Work {
    fn add_assign(&mut self, other: Self) {
        for (network, forward) in other.0 {
            *self.0.entry(network).or_default() += forward;
        }
    }
}

/// A network whose evaluations and time are counted.
pub(crate) struct Metered<'a> {
    name: &'static str,
    network: &'a dyn Denoiser,
    images: Cell<u64>,
    time: Cell<Duration>,
}

impl<'a> Metered<'a> {
    pub(crate) fn new(name: &'static str, network: &'a dyn Denoiser) -> Self {
        Self { name, network, images: Cell::default(), time: Cell::default() }
    }

    pub(crate) fn reading(&self) -> (&'static str, Forward) {
        (self.name, Forward { images: self.images.get(), secs: self.time.get().as_secs_f64() })
    }

    fn count(
        &self,
        x_t: &Tensor,
        forward: impl FnOnce() -> candle_core::Result<Tensor>,
    ) -> candle_core::Result<Tensor> {
        let started = Instant::now();
        let prediction = forward()?;
        self.time.set(self.time.get() + started.elapsed());
        self.images.set(self.images.get() + x_t.dim(0)? as u64);
        Ok(prediction)
    }
}

impl Denoiser for Metered<'_> {
    fn predict(&self, x_t: &Tensor, t: &Tensor, conds: &Conditions) -> candle_core::Result<Tensor> {
        self.count(x_t, || self.network.predict(x_t, t, conds))
    }

    fn predict_training(
        &self,
        x_t: &Tensor,
        t: &Tensor,
        conds: &Conditions,
        draws: &Draws,
    ) -> candle_core::Result<Tensor> {
        self.count(x_t, || self.network.predict_training(x_t, t, conds, draws))
    }
}
