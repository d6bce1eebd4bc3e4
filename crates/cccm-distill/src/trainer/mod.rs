//! One optimizer step after the other: gradients, clipping, optimizer, moving average.

mod run;
mod state;
mod workers;

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::time::Instant;

use candle_core::{Tensor, Var};
use cccm_optim::{AdamW, LrScheduleConfig, clip_factor};
use cccm_sched::{FuseClock, Streams};

use crate::all_reduce::{AllReduce, Alone};
use crate::averaging::MovingAverage;
use crate::objective::Objective;
use crate::plan::{OnNonFinite, Span, TrainConfig};
use crate::report::StepReport;
use crate::step::{Numbers, Sums, Tally};
use crate::{Error, Result, TrainBatch};

pub use run::{Ending, Reporter};
pub(crate) use state::Snapshot;

/// Skipped steps in a row after which a run gives up: by then the weights are at fault, not a batch.
const MAX_SKIPPED_IN_A_ROW: u64 = 10;

/// What a [`Trainer`] is put together from, besides its settings.
pub struct TrainerParts<'a> {
    /// What is minimised, over networks built from the variables below.
    pub objective: &'a dyn Objective,
    /// Variables of the network in training, by name.
    pub trained: BTreeMap<String, Var>,
    /// Its moving averages, of different names.
    pub averages: Vec<MovingAverage>,
    /// The source of all randomness.
    pub streams: Streams,
    /// Optimizer steps per pass over the data, at least 1.
    pub steps_per_epoch: u64,
}

/// Trains a network, and keeps its moving averages.
///
/// Its whole state is the number of steps done, the variables and the optimizer's moments: a step's randomness is a
/// function of seed, step and sample. Several can train one model together: see [`Trainer::join`].
pub struct Trainer<'a> {
    objective: &'a dyn Objective,
    trained: BTreeMap<String, Var>,
    averages: Vec<MovingAverage>,
    optimizer: AdamW,
    streams: Streams,
    clock: FuseClock,
    lr_schedule: LrScheduleConfig,
    cfg: TrainConfig,
    steps_per_epoch: u64,
    steps_done: u64,
    skipped_in_a_row: u64,
    workers: Box<dyn AllReduce>,
}

impl<'a> Trainer<'a> {
    /// A trainer before its first step.
    ///
    /// # Errors
    /// [`Error::InvalidConfig`] or [`Error::Optim`] for a value out of range; [`Error::Target`] when the variables
    /// of a moving average do not match.
    pub fn new(cfg: &TrainConfig, parts: TrainerParts<'a>) -> Result<Self> {
        cfg.validate()?;
        let TrainerParts { objective, trained, averages, streams, steps_per_epoch } = parts;
        if steps_per_epoch == 0 {
            return Err(Error::invalid("steps_per_epoch", 0, "at least 1"));
        }
        for average in &averages {
            average.averaging.validate()?;
            check_like(&average.vars, &trained)?;
        }
        let mut lr_schedule = cfg.lr_schedule.clone();
        if lr_schedule.total_steps == 0 {
            lr_schedule.total_steps = cfg.length.steps(steps_per_epoch);
        }
        Ok(Self {
            objective,
            optimizer: AdamW::new(trained.clone(), cfg.optimizer.clone())?,
            trained,
            averages,
            streams,
            clock: cfg.length.fuse_clock(steps_per_epoch),
            lr_schedule,
            cfg: cfg.clone(),
            steps_per_epoch,
            steps_done: 0,
            skipped_in_a_row: 0,
            workers: Box::new(Alone),
        })
    }

    /// Optimizer steps done, skipped ones included.
    pub fn steps_done(&self) -> u64 {
        self.steps_done
    }

    /// Position of the next batch: its epoch and its place in the epoch, both counted from 0.
    pub fn position(&self) -> (u64, u64) {
        (self.steps_done / self.steps_per_epoch, self.steps_done % self.steps_per_epoch)
    }

    /// Optimizer steps of the whole run.
    pub fn total_steps(&self) -> u64 {
        self.cfg.length.steps(self.steps_per_epoch)
    }

    /// Optimizer steps per pass over the data.
    pub fn steps_per_epoch(&self) -> u64 {
        self.steps_per_epoch
    }

    /// Whether an evaluation is due after the steps done so far.
    pub fn eval_is_due(&self) -> bool {
        self.is_due(self.cfg.eval_interval)
    }

    fn is_due(&self, interval: Span) -> bool {
        let step = self.steps_done;
        step == self.total_steps() || (step > 0 && step.is_multiple_of(interval.steps(self.steps_per_epoch)))
    }

    /// Variables of the network in training.
    pub fn trained(&self) -> &BTreeMap<String, Var> {
        &self.trained
    }

    /// Its moving averages.
    pub fn averages(&self) -> &[MovingAverage] {
        &self.averages
    }

    /// The optimizer.
    pub fn optimizer(&self) -> &AdamW {
        &self.optimizer
    }

    /// What is minimised.
    pub fn objective(&self) -> &'a dyn Objective {
        self.objective
    }

    /// One optimizer step on one batch, whatever the length of the run; all workers take it together.
    ///
    /// # Errors
    /// [`Error::Batch`] for a batch that does not fit together, [`Error::NonFinite`] or [`Error::StillNonFinite`] when
    /// loss or gradient are not finite, [`Error::OtherWorker`] or [`Error::AllReduce`] when another worker fails, and
    /// whatever the objective reports; no weight was changed then.
    pub fn step(&mut self, batch: &TrainBatch) -> Result<StepReport> {
        Ok(self.advance(Ok(batch.clone()), ControlFlow::Continue(()))?.0)
    }

    /// One step, and whether any worker wishes to stop. Without a batch it fails, after telling the other
    /// workers.
    fn advance(
        &mut self,
        batch: Result<TrainBatch>,
        wish: ControlFlow<()>,
    ) -> Result<(StepReport, ControlFlow<()>)> {
        let started = Instant::now();
        let step = self.steps_done + 1;
        let accumulated = batch.and_then(|batch| self.accumulate(&batch));

        let updating = Instant::now();
        let (tally, images, sums) = self.gather(accumulated, wish)?;
        let lr = self.lr_schedule.lr_at(self.steps_done);
        let numbers = self.conclude(&sums, images, lr)?;
        self.steps_done = step;

        let term = |(name, value): (&&'static str, &f64)| (*name, tally.has(name).then_some(*value));
        let report = StepReport {
            step,
            epoch: (step - 1) / self.steps_per_epoch + 1,
            loss: numbers.loss,
            terms: numbers.terms.iter().map(term).collect(),
            c_t: tally.c_t,
            lr,
            grad_norm: numbers.grad_norm,
            skipped_steps: step - self.optimizer.steps(),
            images: images as u64,
            work: tally.work,
            data_secs: 0.0,
            backward_secs: tally.backward_secs,
            optimizer_secs: secs_since(updating),
            total_secs: secs_since(started),
        };
        tracing::debug!(step, loss = report.loss, report.grad_norm, lr, secs = report.total_secs, "step");
        Ok((report, numbers.votes.map_or(wish, |votes| votes.wish)))
    }

    /// Reads the step's loss and gradient norm, and updates the weights if they are finite. Only this
    /// function waits for the device, and only this function changes weights.
    fn conclude(&mut self, sums: &Sums, images: usize, lr: f64) -> Result<Numbers> {
        let numbers = sums.read()?;
        self.check_votes(&numbers, images)?;
        match [("loss", numbers.loss), ("gradient norm", numbers.grad_norm)]
            .into_iter()
            .find(|(_, value)| !value.is_finite())
        {
            Some((what, value)) => self.skip(what, value)?,
            None => self.update(&sums.grads, lr, clip_factor(numbers.grad_norm, self.cfg.max_grad_norm))?,
        }
        Ok(numbers)
    }

    fn is_alone(&self) -> bool {
        self.workers.workers() == 1
    }

    fn update(&mut self, grads: &BTreeMap<String, Tensor>, lr: f64, grad_scale: f64) -> Result<()> {
        let updates = self.optimizer.steps();
        let mut averages = self.averages.iter();
        match averages.next() {
            Some(first) => {
                let rule = first.rule_at(updates)?;
                self.optimizer.step_and_average(grads, lr, grad_scale, rule, &first.vars)?;
            }
            None => self.optimizer.step(grads, lr, grad_scale)?,
        }
        for average in averages {
            average.rule_at(updates)?.update(&average.vars, &self.trained)?;
        }
        self.skipped_in_a_row = 0;
        Ok(())
    }

    /// Skips the update of a step whose loss or gradient is not finite; fails if the settings do not allow
    /// that, or after too many such steps in a row.
    fn skip(&mut self, what: &'static str, value: f64) -> Result<()> {
        let step = self.steps_done + 1;
        if self.cfg.on_non_finite == OnNonFinite::Stop {
            return Err(Error::NonFinite { what, value, step });
        }
        let in_a_row = self.skipped_in_a_row + 1;
        if in_a_row >= MAX_SKIPPED_IN_A_ROW {
            return Err(Error::StillNonFinite { in_a_row, first: step + 1 - in_a_row, step });
        }
        tracing::warn!("step {step} is skipped: its {what} is {value}");
        self.skipped_in_a_row = in_a_row;
        Ok(())
    }

    /// Loss and gradients of this worker's samples, piece by piece; with the number of samples of the step.
    fn accumulate(&self, batch: &TrainBatch) -> Result<(Tally, usize)> {
        let step = self.steps_done + 1;
        let samples = batch.checked_samples(step)?;
        let (first, images) = batch.place()?;
        if self.is_alone() && samples != images {
            let reason = format!("it has {samples} samples of {images}, and there are no other workers");
            return Err(Error::Batch { step, reason });
        }
        let draws = self.streams.draws(self.steps_done, first as u64..(first + samples) as u64);
        let progress = self.clock.progress(self.steps_done);
        let piece = samples.div_ceil(self.cfg.gradient_accumulation_steps).max(1);
        let mut tally = Tally::new(self.objective.terms());
        for start in (0..samples).step_by(piece) {
            let len = piece.min(samples - start);
            let evaluation =
                self.objective.evaluate(&batch.narrow(start, len)?, &draws.narrow(start, len), progress)?;
            // Pieces may differ in size: each counts by its samples.
            tally.add(&self.trained, evaluation, len, len as f64 / images as f64)?;
        }
        Ok((tally, images))
    }
}

/// Fails unless both networks have the same names and shapes.
fn check_like(target: &BTreeMap<String, Var>, trained: &BTreeMap<String, Var>) -> Result<()> {
    let lone = target
        .keys()
        .chain(trained.keys())
        .find(|name| !(target.contains_key(*name) && trained.contains_key(*name)));
    if let Some(name) = lone {
        return Err(Error::Target { name: name.clone(), reason: "only one of them has it" });
    }
    match target.iter().zip(trained.values()).find(|((_, target), trained)| target.shape() != trained.shape())
    {
        Some(((name, _), _)) => Err(Error::Target { name: name.clone(), reason: "their shapes differ" }),
        None => Ok(()),
    }
}

fn secs_since(started: Instant) -> f64 {
    started.elapsed().as_secs_f64()
}
