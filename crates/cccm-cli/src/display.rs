//! Progress on the terminal, or as lines of a log.

use std::cell::{Cell, OnceCell, RefCell};
use std::io::IsTerminal;
use std::time::{Duration, Instant};

use cccm::TrainingProgress;
use cccm_distill::StepReport;
use cccm_scores::{Progress, Work};
use indicatif::{ProgressBar, ProgressStyle};

/// Time between lines where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(10);
/// Number of steps over which the displayed values are averaged. The loss of a single step depends on the
/// timesteps that it drew, and some steps take longer because they compute trajectories for the steps that
/// follow.
const SMOOTHING_STEPS: f64 = 50.0;

/// Shows how far training is.
pub(crate) struct Display {
    form: Form,
    work: OnceCell<WorkDisplay>,
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

impl Default for Display {
    fn default() -> Self {
        Self {
            form: Form::Lines { last: None },
            work: OnceCell::new(),
            total_steps: 0,
            first_step: 0,
            started: Instant::now(),
            smooth_loss: None,
            smooth_secs: None,
        }
    }
}

impl TrainingProgress for Display {
    fn begin(&mut self, steps_done: u64, total_steps: u64) {
        (self.first_step, self.total_steps, self.started) = (steps_done, total_steps, Instant::now());
        if !std::io::stderr().is_terminal() {
            return;
        }
        let bar = ProgressBar::new(total_steps).with_position(steps_done);
        bar.reset_eta();
        self.form = Form::Bar(bar.with_style(style("{bar:30} {pos}/{len} steps  {msg}  {elapsed} < {eta}")));
    }

    fn step(&mut self, report: &StepReport) {
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

    /// Does not tear the progress bar.
    fn say(&mut self, text: &str) {
        match &self.form {
            Form::Bar(bar) => bar.suspend(|| tracing::info!("{text}")),
            Form::Lines { .. } => tracing::info!("{text}"),
        }
    }

    fn other(&self, progress: Progress) {
        self.work.get_or_init(WorkDisplay::default).show(progress);
    }

    fn end(&mut self) {
        if let Form::Bar(bar) = &self.form {
            bar.abandon();
        }
    }
}

impl Display {
    fn secs_left(&self, step: u64) -> f64 {
        let done = step.saturating_sub(self.first_step).max(1) as f64;
        self.started.elapsed().as_secs_f64() / done * self.total_steps.saturating_sub(step) as f64
    }
}

fn style(template: &str) -> ProgressStyle {
    // A template of ours that cannot be read is a bug, and no reason to end a training.
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

/// Shows how far other long work is: a bar that goes away, or for pictures, lines of a log.
#[derive(Default)]
pub(crate) struct WorkDisplay {
    bar: RefCell<Option<(Work, ProgressBar)>>,
    last_line: Cell<Option<Instant>>,
}

impl WorkDisplay {
    /// Shows it.
    pub(crate) fn show(&self, Progress { work, done, total }: Progress) {
        let mut shown = self.bar.borrow_mut();
        let bar = match shown.take() {
            Some((same, bar)) if same == work => bar,
            _ => {
                let unit = match work {
                    Work::Classifier => "steps of a classifier",
                    Work::RealImages => "real images",
                    Work::Pictures => "pictures",
                };
                let template = format!("{{bar:30}} {{pos}}/{{len}} {unit}  {{elapsed}} < {{eta}}");
                ProgressBar::new(total as u64).with_style(style(&template))
            }
        };
        bar.set_position(done as u64);
        let is_done = done >= total;
        let is_due = is_done || self.last_line.get().is_none_or(|last| last.elapsed() >= LINE_EVERY);
        if work == Work::Pictures && bar.is_hidden() && is_due {
            self.last_line.set(Some(Instant::now()));
            tracing::info!("{done}/{total} pictures");
        }
        if is_done {
            // The next work of this kind, such as pictures in another number of steps, begins a bar of its own.
            bar.finish_and_clear();
        } else {
            *shown = Some((work, bar));
        }
    }
}

/// A moving average with one more value.
fn smoothed(average: Option<f64>, value: f64) -> f64 {
    average.map_or(value, |old| old + (value - old) / SMOOTHING_STEPS)
}
