//! The training loop: gradients, clipping, optimizer, moving average.

use std::collections::BTreeMap;
use std::time::Instant;

use candle_core::{Tensor, Var};
use cccm_optim::{AdamW, Ema, LrScheduleConfig, clip_factor, global_norm, gradients};
use cccm_sched::{FuseClock, Streams};

use crate::{
    Averaging, BoxError, Ending, Error, Evaluation, Objective, Reporter, Result, Span, StepReport,
    TrainBatch, TrainConfig, Work,
};

/// What a [`Trainer`] is put together from, besides its settings.
pub struct TrainerParts<'a> {
    /// What is minimised, over networks built from the variables below.
    pub objective: &'a dyn Objective,
    /// Variables of the network in training, by name.
    pub trained: BTreeMap<String, Var>,
    /// Variables of its moving average: the same names and shapes.
    pub target: BTreeMap<String, Var>,
    /// What stays of the moving average at every step.
    pub averaging: Averaging,
    /// The source of all randomness.
    pub streams: Streams,
    /// Optimizer steps per pass over the data, at least 1.
    pub steps_per_epoch: u64,
}

/// Trains a network, and keeps its moving average.
///
/// Its whole state is the number of steps done, the variables and the optimizer's moments: a step's randomness is a
/// function of seed, step and sample.
pub struct Trainer<'a> {
    objective: &'a dyn Objective,
    trained: BTreeMap<String, Var>,
    target: BTreeMap<String, Var>,
    optimizer: AdamW,
    averaging: Averaging,
    streams: Streams,
    clock: FuseClock,
    lr_schedule: LrScheduleConfig,
    cfg: TrainConfig,
    steps_per_epoch: u64,
    steps_done: u64,
}

/// Sums over the pieces of a batch.
#[derive(Default)]
struct Tally {
    grads: BTreeMap<String, Tensor>,
    loss: f64,
    teacher_part: Option<f64>,
    data_part: Option<f64>,
    c_t: Option<f64>,
    work: Work,
    backward_secs: f64,
}

impl<'a> Trainer<'a> {
    /// A trainer before its first step.
    ///
    /// # Errors
    /// [`Error::InvalidConfig`] or [`Error::Optim`] for a value out of range; [`Error::Target`] when the variables
    /// of the moving average do not match.
    pub fn new(cfg: &TrainConfig, parts: TrainerParts<'a>) -> Result<Self> {
        cfg.validate()?;
        let TrainerParts { objective, trained, target, averaging, streams, steps_per_epoch } = parts;
        if steps_per_epoch == 0 {
            return Err(Error::invalid("steps_per_epoch", 0, "at least 1"));
        }
        averaging.validate()?;
        check_like(&target, &trained)?;
        let mut lr_schedule = cfg.lr_schedule.clone();
        if lr_schedule.total_steps == 0 {
            lr_schedule.total_steps = cfg.length.steps(steps_per_epoch);
        }
        Ok(Self {
            objective,
            optimizer: AdamW::new(trained.clone(), cfg.optimizer.clone())?,
            trained,
            target,
            averaging,
            streams,
            clock: cfg.length.fuse_clock(steps_per_epoch),
            lr_schedule,
            cfg: cfg.clone(),
            steps_per_epoch,
            steps_done: 0,
        })
    }

    /// Optimizer steps done.
    pub fn steps_done(&self) -> u64 {
        self.steps_done
    }

    /// Optimizer steps of the whole run.
    pub fn total_steps(&self) -> u64 {
        self.cfg.length.steps(self.steps_per_epoch)
    }

    /// Optimizer steps per pass over the data.
    pub fn steps_per_epoch(&self) -> u64 {
        self.steps_per_epoch
    }

    /// Variables of the network in training.
    pub fn trained(&self) -> &BTreeMap<String, Var> {
        &self.trained
    }

    /// Variables of its moving average.
    pub fn target(&self) -> &BTreeMap<String, Var> {
        &self.target
    }

    /// The optimizer.
    pub fn optimizer(&self) -> &AdamW {
        &self.optimizer
    }

    /// What is minimised.
    pub fn objective(&self) -> &'a dyn Objective {
        self.objective
    }

    /// Trains to the end of the run, or until the reporter asks to stop.
    ///
    /// # Errors
    /// As [`Self::step`]; [`Error::Data`] or [`Error::DataEnded`] when there is no batch; [`Error::Report`] when
    /// the reporter fails.
    pub fn run(
        &mut self,
        batches: impl IntoIterator<Item = Result<TrainBatch, BoxError>>,
        reporter: &mut dyn Reporter,
    ) -> Result<Ending> {
        let mut batches = batches.into_iter();
        let mut ending = Ending::Finished;
        while ending == Ending::Finished && self.steps_done < self.total_steps() {
            let waiting = Instant::now();
            let batch = self.next_batch(&mut batches)?;
            let data_secs = secs_since(waiting);
            let mut report = self.step(&batch)?;
            report.data_secs = data_secs;
            report.total_secs += data_secs;

            let step = self.steps_done;
            let failed = |what| move |source| Error::Report { what, step, source };
            let stop = reporter.on_step(&report).map_err(failed("the step"))?.is_break();
            let last = step == self.total_steps();
            let due = |interval: Span| last || step.is_multiple_of(interval.steps(self.steps_per_epoch));
            // Saved first: looking at samples takes long, and may fail.
            if stop || due(self.cfg.checkpoint_interval) {
                reporter.on_checkpoint(self).map_err(failed("the checkpoint"))?;
            }
            if !stop && due(self.cfg.eval_interval) {
                reporter.on_eval(self).map_err(failed("the evaluation"))?;
            }
            if stop && !last {
                ending = Ending::Stopped;
            }
        }
        let step = self.steps_done;
        reporter.on_end(self, ending).map_err(|source| Error::Report { what: "the end", step, source })?;
        Ok(ending)
    }

    /// One optimizer step on one batch, whatever the length of the run.
    ///
    /// # Errors
    /// [`Error::Batch`] for a batch that does not fit together, [`Error::NonFinite`] when loss or gradient are not
    /// finite, and whatever the objective reports; no weight was changed then.
    pub fn step(&mut self, batch: &TrainBatch) -> Result<StepReport> {
        let started = Instant::now();
        let step = self.steps_done + 1;
        let images = batch.checked_samples(step)?;
        let tally = self.accumulate(batch, images)?;
        finite("loss", tally.loss, step)?;

        let updating = Instant::now();
        let grad_norm = finite("gradient norm", global_norm(&tally.grads)?, step)?;
        let lr = self.lr_schedule.lr_at(self.steps_done);
        self.optimizer.step(&tally.grads, lr, clip_factor(grad_norm, self.cfg.max_grad_norm))?;
        Ema::new(self.averaging.decay_at(self.steps_done))?.update(&self.target, &self.trained)?;
        self.steps_done = step;

        let report = StepReport {
            step,
            epoch: (step - 1) / self.steps_per_epoch + 1,
            loss: tally.loss,
            teacher_part: tally.teacher_part,
            data_part: tally.data_part,
            c_t: tally.c_t,
            lr,
            grad_norm,
            images: images as u64,
            work: tally.work,
            data_secs: 0.0,
            backward_secs: tally.backward_secs,
            optimizer_secs: secs_since(updating),
            total_secs: secs_since(started),
        };
        tracing::debug!(step, loss = report.loss, grad_norm, lr, secs = report.total_secs, "step");
        Ok(report)
    }

    /// Loss and gradients of the whole batch, piece by piece.
    fn accumulate(&self, batch: &TrainBatch, images: usize) -> Result<Tally> {
        let draws = self.streams.draws(self.steps_done, 0..images as u64);
        let progress = self.clock.progress(self.steps_done);
        let piece = images.div_ceil(self.cfg.gradient_accumulation_steps);
        let mut tally = Tally::default();
        for start in (0..images).step_by(piece) {
            let len = piece.min(images - start);
            let evaluation =
                self.objective.evaluate(&batch.narrow(start, len)?, &draws.narrow(start, len), progress)?;
            // Pieces may differ in size: each counts by its samples.
            tally.add(&self.trained, evaluation, len as f64 / images as f64)?;
        }
        Ok(tally)
    }

    fn next_batch(
        &self,
        batches: &mut impl Iterator<Item = Result<TrainBatch, BoxError>>,
    ) -> Result<TrainBatch> {
        let step = self.steps_done + 1;
        match batches.next() {
            Some(batch) => batch.map_err(|source| Error::Data { step, source }),
            None => Err(Error::DataEnded { step, total_steps: self.total_steps() }),
        }
    }
}

impl Tally {
    /// Adds one piece, which is this share of the batch.
    fn add(&mut self, trained: &BTreeMap<String, Var>, evaluation: Evaluation, share: f64) -> Result<()> {
        let started = Instant::now();
        let store = evaluation.loss.affine(share, 0.0)?.backward()?;
        for (name, grad) in gradients(trained, &store)? {
            let sum = match self.grads.remove(&name) {
                Some(sum) => (sum + grad)?,
                None => grad,
            };
            self.grads.insert(name, sum);
        }
        self.loss += share * scalar(&evaluation.loss)?;
        self.backward_secs += secs_since(started);

        let add = |sum: &mut Option<f64>, part: &Option<Tensor>| -> Result<()> {
            if let Some(part) = part {
                *sum = Some(sum.unwrap_or(0.0) + share * scalar(part)?);
            }
            Ok(())
        };
        add(&mut self.teacher_part, &evaluation.teacher_part)?;
        add(&mut self.data_part, &evaluation.data_part)?;
        self.c_t = evaluation.c_t;
        self.work += evaluation.work;
        Ok(())
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

fn finite(what: &'static str, value: f64, step: u64) -> Result<f64> {
    if value.is_finite() { Ok(value) } else { Err(Error::NonFinite { what, value, step }) }
}

fn scalar(tensor: &Tensor) -> candle_core::Result<f64> {
    Ok(tensor.to_scalar::<f32>()?.into())
}

fn secs_since(started: Instant) -> f64 {
    started.elapsed().as_secs_f64()
}
