//! A whole run: step after step, watched by a reporter.

use std::ops::ControlFlow;
use std::time::Instant;

use super::{Trainer, secs_since};
use crate::report::StepReport;
use crate::{BoxError, Error, Result, TrainBatch};

/// How a run came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// All steps are done.
    Finished,
    /// The reporter asked to stop.
    Stopped,
}

/// Watches a run: shows progress, writes metrics, pictures and checkpoints. Every method does nothing by default,
/// and `()` is the reporter that does just that.
///
/// An error ends the run with [`Error::Report`](crate::Error::Report).
pub trait Reporter {
    /// After every step; [`ControlFlow::Break`] ends the run, after a checkpoint.
    ///
    /// # Errors
    /// Whatever goes wrong.
    fn on_step(&mut self, _report: &StepReport) -> Result<ControlFlow<()>, BoxError> {
        Ok(ControlFlow::Continue(()))
    }

    /// At every [`checkpoint_interval`](crate::TrainConfig::checkpoint_interval), after the last step, and
    /// when a run ends early although its weights are good, for example because the data failed.
    ///
    /// # Errors
    /// Whatever goes wrong.
    fn on_checkpoint(&mut self, _trainer: &Trainer<'_>) -> Result<(), BoxError> {
        Ok(())
    }

    /// At every [`eval_interval`](crate::TrainConfig::eval_interval), and after the last step of a finished run.
    ///
    /// # Errors
    /// Whatever goes wrong.
    fn on_eval(&mut self, _trainer: &Trainer<'_>) -> Result<(), BoxError> {
        Ok(())
    }

    /// Once, when the run is over and did not fail.
    ///
    /// # Errors
    /// Whatever goes wrong.
    fn on_end(&mut self, _trainer: &Trainer<'_>, _ending: Ending) -> Result<(), BoxError> {
        Ok(())
    }
}

impl Reporter for () {}

impl Trainer<'_> {
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
            // The run can be resumed from this checkpoint once the cause is fixed. The first error is the one
            // to return.
            if let Err(error) = reporter.on_checkpoint(self) {
                tracing::warn!(
                    "the checkpoint after step {} cannot be written either: {error}",
                    self.steps_done
                );
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
            // The other workers learn of a wish to stop in the next step, and all stop together then.
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
