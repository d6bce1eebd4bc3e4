//! What a run shows and writes while it trains.

use std::fs::File;
use std::io::{IsTerminal, Write};
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use anyhow::Context;
use cccm_distill::{BoxError, Checkpoint, Ending, Reporter, StepReport, Trainer};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use crate::run_dir::RunDir;

/// Seconds between lines where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(10);
/// Steps over which the loss shown is averaged: single ones jump with the timesteps they happened to draw.
const SMOOTHING_STEPS: f64 = 50.0;

/// Draws the grid of a step to a file.
pub(crate) type DrawGrid<'a> = dyn Fn(u64, &RunDir) -> anyhow::Result<()> + 'a;

/// Progress, metrics, grids and checkpoints of a run.
pub(crate) struct Watch<'a> {
    run: &'a RunDir,
    metrics: File,
    display: Display,
    draw_grid: &'a DrawGrid<'a>,
    model_json: String,
    checkpoints_limit: usize,
    first_step: Option<Instant>,
    smooth_loss: Option<f64>,
}

enum Display {
    Bar(ProgressBar),
    Lines { last: Option<Instant> },
}

#[derive(Serialize)]
struct Metrics<'a> {
    #[serde(flatten)]
    report: &'a StepReport,
    images_per_sec: f64,
}

impl<'a> Watch<'a> {
    /// - `model_json`: `config.json` of the network in training, for its checkpoints
    /// - `checkpoints_limit`: how many to keep
    pub(crate) fn new(
        run: &'a RunDir,
        total_steps: u64,
        model_json: String,
        checkpoints_limit: usize,
        draw_grid: &'a DrawGrid<'a>,
    ) -> anyhow::Result<Self> {
        let path = run.metrics();
        let metrics = File::create(&path).with_context(|| format!("cannot create {}", path.display()))?;
        let display = if std::io::stderr().is_terminal() {
            let bar = ProgressBar::new(total_steps);
            let style = "{bar:30} {pos}/{len} steps  {msg}  {elapsed} < {eta}";
            bar.set_style(ProgressStyle::with_template(style)?);
            Display::Bar(bar)
        } else {
            Display::Lines { last: None }
        };
        let (first_step, smooth_loss) = (None, None);
        Ok(Self { run, metrics, display, draw_grid, model_json, checkpoints_limit, first_step, smooth_loss })
    }

    fn show(&mut self, report: &StepReport, images_per_sec: f64) {
        let smooth = self.smooth_loss.map_or(report.loss, |old| old + (report.loss - old) / SMOOTHING_STEPS);
        self.smooth_loss = Some(smooth);
        let c_t = report.c_t.map(|c_t| format!("  c_t {c_t:.2}")).unwrap_or_default();
        let text = format!("loss {smooth:.5}{c_t}  {images_per_sec:.0} images/s");
        match &mut self.display {
            Display::Bar(bar) => {
                bar.set_position(report.step);
                bar.set_message(text);
            }
            Display::Lines { last } => {
                if last.is_none_or(|last| last.elapsed() >= LINE_EVERY) {
                    *last = Some(Instant::now());
                    tracing::info!("step {}  {text}", report.step);
                }
            }
        }
    }

    /// Says something without tearing the progress bar.
    fn say(&self, text: &str) {
        match &self.display {
            Display::Bar(bar) => bar.println(text),
            Display::Lines { .. } => tracing::info!("{text}"),
        }
    }
}

impl Reporter for Watch<'_> {
    fn on_step(&mut self, report: &StepReport) -> Result<ControlFlow<()>, BoxError> {
        self.first_step.get_or_insert_with(Instant::now);
        let images_per_sec = report.images as f64 / report.total_secs;
        let mut line = serde_json::to_vec(&Metrics { report, images_per_sec })?;
        line.push(b'\n');
        self.metrics.write_all(&line)?;
        self.show(report, images_per_sec);
        Ok(ControlFlow::Continue(()))
    }

    fn on_checkpoint(&mut self, trainer: &Trainer<'_>) -> Result<(), BoxError> {
        let checkpoint = Checkpoint::of(trainer, std::collections::BTreeMap::new())?
            .with_file("config.json", self.model_json.clone().into_bytes())?;
        checkpoint.write(&self.run.checkpoint(trainer.steps_done()))?;
        self.run.prune_checkpoints(self.checkpoints_limit)?;
        Ok(())
    }

    fn on_eval(&mut self, trainer: &Trainer<'_>) -> Result<(), BoxError> {
        let step = trainer.steps_done();
        (self.draw_grid)(step, self.run)?;
        self.say(&format!("step {step}: {}", self.run.grid(step).display()));
        Ok(())
    }

    fn on_end(&mut self, trainer: &Trainer<'_>, _ending: Ending) -> Result<(), BoxError> {
        if let Display::Bar(bar) = &self.display {
            bar.finish();
        }
        let secs = self.first_step.map(|first| first.elapsed().as_secs_f64()).unwrap_or_default();
        tracing::info!("{} steps in {secs:.0} s", trainer.steps_done());
        Ok(())
    }
}
