//! Watching a training run.

use cccm_distill::StepReport;
use cccm_scores::Progress;

/// Whoever watches a training run. Every method does nothing, or as little as it may, unless it is written otherwise.
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

    /// Something to be told, such as where a grid of pictures is.
    fn say(&mut self, text: &str) {
        tracing::info!("{text}");
    }

    /// How far other long work is: what scores need before training begins.
    fn other(&self, progress: Progress) {
        let _ = progress;
    }

    /// Training has ended.
    fn end(&mut self) {}
}

/// Watches nothing.
impl TrainingProgress for () {}
