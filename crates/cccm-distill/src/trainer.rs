//! The training loop: gradients, clipping, optimizer, moving average.

use std::collections::BTreeMap;
use std::time::Instant;

use candle_core::{Tensor, Var};
use cccm_kernels::backward;
use cccm_optim::{AdamW, LrScheduleConfig, Moments, clip_factor, global_norm, gradients};
use cccm_sched::{FuseClock, Streams};

use crate::{
    BoxError, Ending, Error, Evaluation, MovingAverage, Objective, OnNonFinite, Reporter, Result, Span,
    StepReport, TrainBatch, TrainConfig, TrainState, Work,
};

/// Skipped steps in a row at which a run gives up: its weights, not a batch, are what is wrong.
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
/// function of seed, step and sample.
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
}

/// What a checkpoint holds of a trainer.
pub(crate) struct Snapshot<'a> {
    pub(crate) state: &'a TrainState,
    pub(crate) trained: BTreeMap<String, Tensor>,
    /// In the order of the trainer's.
    pub(crate) averages: Vec<BTreeMap<String, Tensor>>,
    pub(crate) moments: BTreeMap<String, Moments>,
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
        })
    }

    /// Optimizer steps done, skipped ones included.
    pub fn steps_done(&self) -> u64 {
        self.steps_done
    }

    /// Where the next batch is to be found: its epoch and its place therein, both counted from 0.
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

    /// Whether samples are to be looked at after the steps done.
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
        let failed = |what, step| move |source| Error::Report { what, step, source };
        let mut batches = batches.into_iter();
        let mut ending = Ending::Finished;
        let mut saved = self.steps_done;
        while ending == Ending::Finished && self.steps_done < self.total_steps() {
            let waiting = Instant::now();
            let batch = match self.next_batch(&mut batches) {
                Ok(batch) => batch,
                Err(missing) => {
                    // The weights are good: whoever mends the data goes on from here.
                    if saved != self.steps_done {
                        reporter.on_checkpoint(self).map_err(failed("the checkpoint", self.steps_done))?;
                    }
                    return Err(missing);
                }
            };
            let data_secs = secs_since(waiting);
            let mut report = self.step(&batch)?;
            report.data_secs = data_secs;
            report.total_secs += data_secs;

            let step = self.steps_done;
            let stop = reporter.on_step(&report).map_err(failed("the step", step))?.is_break();
            let last = step == self.total_steps();
            // Saved first: looking at samples takes long, and may fail.
            if stop || self.is_due(self.cfg.checkpoint_interval) {
                reporter.on_checkpoint(self).map_err(failed("the checkpoint", step))?;
                saved = step;
            }
            if !stop && self.eval_is_due() {
                reporter.on_eval(self).map_err(failed("the evaluation", step))?;
            }
            if stop && !last {
                ending = Ending::Stopped;
            }
        }
        reporter.on_end(self, ending).map_err(failed("the end", self.steps_done))?;
        Ok(ending)
    }

    /// One optimizer step on one batch, whatever the length of the run.
    ///
    /// # Errors
    /// [`Error::Batch`] for a batch that does not fit together, [`Error::NonFinite`] or [`Error::StillNonFinite`] when
    /// loss or gradient are not finite, and whatever the objective reports; no weight was changed then.
    pub fn step(&mut self, batch: &TrainBatch) -> Result<StepReport> {
        let started = Instant::now();
        let step = self.steps_done + 1;
        let images = batch.checked_samples(step)?;
        let tally = self.accumulate(batch, images)?;

        let updating = Instant::now();
        let grad_norm = global_norm(&tally.grads)?;
        let lr = self.lr_schedule.lr_at(self.steps_done);
        match [("loss", tally.loss), ("gradient norm", grad_norm)]
            .into_iter()
            .find(|(_, value)| !value.is_finite())
        {
            Some((what, value)) => self.skip(what, value)?,
            None => self.update(&tally.grads, lr, clip_factor(grad_norm, self.cfg.max_grad_norm))?,
        }
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
            skipped_steps: step - self.optimizer.steps(),
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

    /// Leaves the weights as they are in a step where something is not finite, as long as that is allowed.
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

    /// Where this run stands.
    pub(crate) fn state(&self, digests: BTreeMap<String, String>) -> TrainState {
        let (epoch, next_batch) = self.position();
        TrainState {
            step: self.steps_done,
            epoch: epoch + 1,
            next_batch,
            updates: self.optimizer.steps(),
            skipped_in_a_row: self.skipped_in_a_row,
            train: self.cfg.clone(),
            digests,
        }
    }

    /// Goes where the run of the snapshot stood; all is checked before the first variable changes.
    pub(crate) fn restore(&mut self, snapshot: Snapshot<'_>) -> Result<()> {
        let Snapshot { state, trained, averages, moments } = snapshot;
        let trained = (self.objective.trained_name(), &self.trained, trained);
        let averages = self.averages.iter().zip(averages);
        let averages = averages.map(|(average, values)| (average.name, &average.vars, values));
        let networks: Vec<_> = std::iter::once(trained).chain(averages).collect();
        for (name, vars, values) in &networks {
            check_values(name, values, vars)?;
        }
        self.optimizer.restore(state.updates, moments)?;
        for (_, vars, values) in networks {
            for (var, value) in vars.values().zip(values.values()) {
                var.set(&value.to_device(var.device())?)?;
            }
        }
        (self.steps_done, self.skipped_in_a_row) = (state.step, state.skipped_in_a_row);
        Ok(())
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
        let store = backward(&evaluation.loss.affine(share, 0.0)?)?;
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

/// Fails unless a checkpoint's file holds a value for every variable, and nothing else.
fn check_values(stem: &str, values: &BTreeMap<String, Tensor>, vars: &BTreeMap<String, Var>) -> Result<()> {
    let bad = |name: &str, what: String| {
        Err(Error::CheckpointContent {
            file: format!("{stem}.safetensors"),
            reason: format!("`{name}` {what}"),
        })
    };
    if let Some(name) = vars.keys().find(|name| !values.contains_key(*name)) {
        return bad(name, "is missing".to_owned());
    }
    for (name, value) in values {
        match vars.get(name) {
            None => return bad(name, "is no variable of the network".to_owned()),
            Some(var) if (var.shape(), var.dtype()) != (value.shape(), value.dtype()) => {
                let describe = |t: &Tensor| format!("{} {:?}", t.dtype().as_str(), t.dims());
                return bad(name, format!("is {}, but must be {}", describe(value), describe(var)));
            }
            Some(_) => {}
        }
    }
    Ok(())
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

fn scalar(tensor: &Tensor) -> candle_core::Result<f64> {
    Ok(tensor.to_scalar::<f32>()?.into())
}

fn secs_since(started: Instant) -> f64 {
    started.elapsed().as_secs_f64()
}
