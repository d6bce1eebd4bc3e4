//! Several workers that train one model together.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use candle_core::{Device, Tensor};

use super::Trainer;
use crate::all_reduce::{AllReduce, Alone};
use crate::checkpoint::Checkpoint;
use crate::step::{Numbers, Sums, Tally, Vote};
use crate::{Error, Result};

impl Trainer<'_> {
    /// Trains together with other workers from now on. Each worker is given its part of every batch
    /// ([`Part`](crate::Part)), and all update their weights by the gradient over all parts, which equals
    /// that of the whole batch to rounding. They skip, stop and fail together. When one asks to stop, all
    /// stop after the next step. Only one of them should write files.
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

    /// This worker's tally, the step's number of samples, and the sums over all workers. If this worker
    /// failed, the sums tell the others.
    pub(super) fn gather(
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
                    // Wait for the sums: when a process ends, what it is still sending is lost. If this
                    // fails, too, the others notice.
                    let _ = with_others(&mut Tally::new(self.objective.terms()), Vote::Failed)
                        .and_then(|sums| sums.read());
                }
                Err(error)
            }
        }
    }

    /// Fails if another worker failed, or if the parts of the batch do not add up to the whole.
    pub(super) fn check_votes(&self, numbers: &Numbers, images: usize) -> Result<()> {
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
}
