//! Watching a training run.

use cccm_distill::StepReport;
use cccm_scores::Progress;

/// Receives the progress of a training run. By default [`Self::say`] logs its text, and the other methods do
/// nothing.
pub trait TrainingProgress {
    /// Training begins.
    /// - `steps_done`: by earlier starts of the run
    fn begin(&mut self, steps_done: u64, total_steps: u64) {
        let _ = (steps_done, total_steps);
    }

    /// One more step is done.
    fn step(&mut self, report: &StepReport) {
        let _ = report;
    }

    /// A message for the user, such as where a grid of pictures is.
    fn say(&mut self, text: &str) {
        tracing::info!("{text}");
    }

    /// How far other long work is: the preparation of scores, before training begins.
    fn other(&self, progress: Progress) {
        let _ = progress;
    }

    /// Training has ended.
    fn end(&mut self) {}
}

/// Watches nothing.
impl TrainingProgress for () {}
