//! Progress on the terminal, or as lines of a log.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use anyhow::Result;
use cccm_distill::StepReport;
use indicatif::{ProgressBar, ProgressStyle};

/// Time between lines where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(10);
/// Steps over which what is shown is averaged: the loss of single ones jumps with the timesteps they happened to draw, and now
/// and then one makes what the next ones use.
const SMOOTHING_STEPS: f64 = 50.0;

/// Shows how far training is.
pub(crate) struct Display {
    form: Form,
    total_steps: u64,
    first_step: u64,
    started: Instant,
    smooth_loss: Option<f64>,
    smooth_secs: Option<f64>,
}

enum Form {
    Bar(ProgressBar),
    Lines { last: Option<Instant> },
}

impl Display {
    /// - `steps_done`: by earlier starts of the run
    pub(crate) fn new(steps_done: u64, total_steps: u64) -> Result<Self> {
        let form = if std::io::stderr().is_terminal() {
            let bar = ProgressBar::new(total_steps).with_position(steps_done);
            bar.reset_eta();
            bar.set_style(ProgressStyle::with_template(
                "{bar:30} {pos}/{len} steps  {msg}  {elapsed} < {eta}",
            )?);
            Form::Bar(bar)
        } else {
            Form::Lines { last: None }
        };
        let (started, smooth_loss, smooth_secs) = (Instant::now(), None, None);
        Ok(Self { form, total_steps, first_step: steps_done, started, smooth_loss, smooth_secs })
    }

    /// Shows one more step.
    pub(crate) fn step(&mut self, report: &StepReport) {
        if report.loss.is_finite() {
            self.smooth_loss = Some(smoothed(self.smooth_loss, report.loss));
        }
        let secs = smoothed(self.smooth_secs, report.total_secs);
        self.smooth_secs = Some(secs);
        let c_t = report.c_t.map(|c_t| format!("  c_t {c_t:.2}")).unwrap_or_default();
        let skipped = match report.skipped_steps {
            0 => String::new(),
            skipped => format!("  {skipped} steps skipped"),
        };
        let rate = report.images as f64 / secs;
        let text =
            format!("loss {:.5}{c_t}  {rate:.0} images/s{skipped}", self.smooth_loss.unwrap_or(f64::NAN));
        let left = self.secs_left(report.step);
        match &mut self.form {
            Form::Bar(bar) => {
                bar.set_position(report.step);
                bar.set_message(text);
            }
            Form::Lines { last } => {
                if last.is_none_or(|last| last.elapsed() >= LINE_EVERY) {
                    *last = Some(Instant::now());
                    let left = indicatif::HumanDuration(Duration::from_secs_f64(left));
                    tracing::info!("step {}/{}  {text}  {left} left", report.step, self.total_steps);
                }
            }
        }
    }

    /// Says something without tearing the progress bar.
    pub(crate) fn say(&self, text: &str) {
        match &self.form {
            Form::Bar(bar) => bar.suspend(|| tracing::info!("{text}")),
            Form::Lines { .. } => tracing::info!("{text}"),
        }
    }

    /// The end; gives the seconds since the beginning.
    pub(crate) fn finish(&self) -> f64 {
        if let Form::Bar(bar) = &self.form {
            bar.abandon();
        }
        self.started.elapsed().as_secs_f64()
    }

    fn secs_left(&self, step: u64) -> f64 {
        let done = step.saturating_sub(self.first_step).max(1) as f64;
        self.started.elapsed().as_secs_f64() / done * self.total_steps.saturating_sub(step) as f64
    }
}

/// A moving average with one more value.
fn smoothed(average: Option<f64>, value: f64) -> f64 {
    average.map_or(value, |old| old + (value - old) / SMOOTHING_STEPS)
}
