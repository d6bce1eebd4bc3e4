//! The training loop: gradients, clipping, optimizer, moving average.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::time::Instant;

use candle_core::{Device, Tensor, Var};
use cccm_optim::{AdamW, LrScheduleConfig, Moments, clip_factor};
use cccm_sched::{FuseClock, Streams};

use crate::step::{Numbers, Sums, Tally, Vote};
use crate::{
    AllReduce, Alone, BoxError, Checkpoint, Ending, Error, MovingAverage, Objective, OnNonFinite, Reporter,
    Result, Span, StepReport, TrainBatch, TrainConfig, TrainState,
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

/// What a checkpoint holds of a trainer.
pub(crate) struct Snapshot<'a> {
    pub(crate) state: &'a TrainState,
    pub(crate) trained: BTreeMap<String, Tensor>,
    /// In the order of the trainer's.
    pub(crate) averages: Vec<BTreeMap<String, Tensor>>,
    pub(crate) moments: BTreeMap<String, Moments>,
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

    /// Trains together with other workers from now on: each is given its part of every batch ([`Part`](crate::Part)), and
    /// all move their weights by the gradient over all parts, which is that of the whole batch to rounding. They skip,
    /// stop and fail together; where one asks to stop, all do after the step behind that. Only one of them should write
    /// anything.
    ///
    /// # Errors
    /// [`Error::WorkersDiffer`] unless all workers have the same weights, averages, moments, settings and steps done;
    /// [`Error::AllReduce`] when they cannot be asked.
    pub fn join(&mut self, workers: Box<dyn AllReduce>) -> Result<()> {
        let count = workers.workers();
        if count > 1 {
            let failed = |source| Error::AllReduce { step: self.steps_done + 1, source };
            let device = self.trained.values().next().map_or(&Device::Cpu, |var| var.device());
            let mine = Checkpoint::of(self, BTreeMap::new())?.fingerprint();
            let sums = workers.sum(&[Tensor::new(&mine, device)?]).map_err(failed)?;
            let sums = sums.first().map(Tensor::to_vec1::<f32>).transpose()?.unwrap_or_default();
            // Whole numbers, small enough for exact sums.
            if sums != mine.map(|number| number * count as f32) {
                return Err(Error::WorkersDiffer { workers: count });
            }
        }
        self.workers = workers;
        Ok(())
    }

    /// Trains alone from now on; the sums of the others fail.
    pub fn leave(&mut self) {
        self.workers = Box::new(Alone);
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
    /// the reporter fails. Where the weights are good, the reporter is given a checkpoint first.
    pub fn run(
        &mut self,
        batches: impl IntoIterator<Item = Result<TrainBatch, BoxError>>,
        reporter: &mut dyn Reporter,
    ) -> Result<Ending> {
        let mut saved = self.steps_done;
        let ended = self.run_to_end(&mut batches.into_iter(), reporter, &mut saved);
        if let Err(error) = &ended
            && error.is_from_outside()
            && saved != self.steps_done
        {
            // Whoever mends the cause goes on from here. The error that counts is the first.
            if let Err(error) = reporter.on_checkpoint(self) {
                tracing::warn!("nor can a checkpoint after step {} be written: {error}", self.steps_done);
            }
        }
        ended
    }

    /// - `saved`: the step of the last checkpoint
    fn run_to_end(
        &mut self,
        batches: &mut dyn Iterator<Item = Result<TrainBatch, BoxError>>,
        reporter: &mut dyn Reporter,
        saved: &mut u64,
    ) -> Result<Ending> {
        let failed = |what, step| move |source| Error::Report { what, step, source };
        let mut ending = Ending::Finished;
        let mut wish = ControlFlow::Continue(());
        while ending == Ending::Finished && self.steps_done < self.total_steps() {
            let waiting = Instant::now();
            let batch = self.next_batch(batches);
            let data_secs = secs_since(waiting);
            let (mut report, wish_of_all) = self.advance(batch, wish)?;
            report.data_secs = data_secs;
            report.total_secs += data_secs;

            let step = self.steps_done;
            if reporter.on_step(&report).map_err(failed("the step", step))?.is_break() {
                wish = ControlFlow::Break(());
            }
            // The others hear of a wish in the next step.
            let stop = if self.is_alone() { wish } else { wish_of_all }.is_break();
            let last = step == self.total_steps();
            // Saved first: looking at samples takes long, and may fail.
            if stop || self.is_due(self.cfg.checkpoint_interval) {
                reporter.on_checkpoint(self).map_err(failed("the checkpoint", step))?;
                *saved = step;
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

    /// One optimizer step on one batch, whatever the length of the run; all workers take it together.
    ///
    /// # Errors
    /// [`Error::Batch`] for a batch that does not fit together, [`Error::NonFinite`] or [`Error::StillNonFinite`] when
    /// loss or gradient are not finite, [`Error::OtherWorker`] or [`Error::AllReduce`] when another worker fails, and
    /// whatever the objective reports; no weight was changed then.
    pub fn step(&mut self, batch: &TrainBatch) -> Result<StepReport> {
        Ok(self.advance(Ok(batch.clone()), ControlFlow::Continue(()))?.0)
    }

    /// One step, and whether any worker wishes to stop. Without a batch it fails, once the other workers know.
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

        let [teacher_part, data_part] = tally.has_shares();
        let report = StepReport {
            step,
            epoch: (step - 1) / self.steps_per_epoch + 1,
            loss: numbers.loss,
            teacher_part: teacher_part.then_some(numbers.teacher_part),
            data_part: data_part.then_some(numbers.data_part),
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

    /// The sums over all workers, who hear of a failure by it; with what this one has, and the step's number of samples.
    fn gather(
        &self,
        accumulated: Result<(Tally, usize)>,
        wish: ControlFlow<()>,
    ) -> Result<(Tally, usize, Sums)> {
        let with_others = |tally: &mut Tally, vote| {
            tally.with_others(&*self.workers, &self.trained, vote, self.steps_done + 1)
        };
        match accumulated {
            Ok((mut tally, images)) if self.is_alone() => {
                let sums = tally.alone()?;
                Ok((tally, images, sums))
            }
            Ok((mut tally, images)) => {
                let sums = with_others(&mut tally, Vote::Fine(wish))?;
                Ok((tally, images, sums))
            }
            Err(error) => {
                if !self.is_alone() {
                    // Waited for, as a process that ends takes with it what is on its way. If that fails too, they notice.
                    let _ = with_others(&mut Tally::default(), Vote::Failed).and_then(|sums| sums.read());
                }
                Err(error)
            }
        }
    }

    /// Reads what the step came to, and moves the weights if that is finite: the only place that waits for the device, and
    /// the only one that changes weights.
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

    fn check_votes(&self, numbers: &Numbers, images: usize) -> Result<()> {
        let step = self.steps_done + 1;
        match &numbers.votes {
            Some(votes) if votes.failed > 0 => {
                Err(Error::OtherWorker { failed: votes.failed, workers: self.workers.workers(), step })
            }
            Some(votes) if votes.samples != images => {
                let reason =
                    format!("its parts have {} samples together, but it has {images}", votes.samples);
                Err(Error::Batch { step, reason })
            }
            _ => Ok(()),
        }
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
        let mut tally = Tally::default();
        for start in (0..samples).step_by(piece) {
            let len = piece.min(samples - start);
            let evaluation =
                self.objective.evaluate(&batch.narrow(start, len)?, &draws.narrow(start, len), progress)?;
            // Pieces may differ in size: each counts by its samples.
            tally.add(&self.trained, evaluation, len, len as f64 / images as f64)?;
        }
        Ok((tally, images))
    }

    fn next_batch(
        &self,
        batches: &mut dyn Iterator<Item = Result<TrainBatch, BoxError>>,
    ) -> Result<TrainBatch> {
        let step = self.steps_done + 1;
        match batches.next() {
            Some(batch) => batch.map_err(|source| Error::Data { step, source }),
            None => Err(Error::DataEnded { step, total_steps: self.total_steps() }),
        }
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

fn secs_since(started: Instant) -> f64 {
    started.elapsed().as_secs_f64()
}
