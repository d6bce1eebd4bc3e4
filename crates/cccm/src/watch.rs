//! What a run shows and writes while it trains.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Instant;

use cccm_distill::{BoxError, Checkpoint, CheckpointWriter, Ending, Reporter, StepReport, Trainer};
use cccm_run::{EventFile, MetricsFile, images_per_sec, png_size};
use cccm_scores::TrainingScores;

use crate::phases::{PHASES, Phases, phase_secs};
use crate::progress::TrainingProgress;
use crate::stop::Stop;

/// Draws the grids of a step; gives each with the name of the network that drew it.
pub(crate) type DrawGrids<'a> = dyn Fn(u64) -> anyhow::Result<Vec<(&'static str, PathBuf)>> + 'a;

/// Scores pictures of the moving average.
pub(crate) type ScorePictures<'a> = dyn Fn() -> anyhow::Result<TrainingScores> + 'a;

/// Progress, metrics, grids and checkpoints of a run.
pub(crate) struct Watch<'a> {
    pub(crate) metrics: MetricsFile,
    pub(crate) events: EventFile,
    pub(crate) progress: &'a mut dyn TrainingProgress,
    pub(crate) checkpoints: CheckpointWriter,
    pub(crate) stop: Stop,
    pub(crate) draw_grids: &'a DrawGrids<'a>,
    pub(crate) score_pictures: Option<&'a ScorePictures<'a>>,
    /// `config.json` of the network in training, for its checkpoints.
    pub(crate) model_json: String,
    /// Of what the run is made from.
    pub(crate) digests: BTreeMap<String, String>,
    /// Since the last time they were shown.
    pub(crate) phases: Phases,
    pub(crate) started: Instant,
}

impl Watch<'_> {
    fn write_events(&mut self, report: &StepReport) -> anyhow::Result<()> {
        let mut scalars = vec![
            ("train/loss", report.loss),
            ("train/lr", report.lr),
            ("train/grad_norm", report.grad_norm),
            ("train/skipped_steps", report.skipped_steps as f64),
            ("speed/images_per_sec", images_per_sec(report)),
            ("secs/total", report.total_secs),
        ];
        let c_t = ("train/c_t".to_owned(), report.c_t);
        let terms = report.terms.iter().map(|(name, value)| (format!("train/{name}"), *value));
        let optional: Vec<_> = std::iter::once(c_t).chain(terms).collect();
        scalars.extend(optional.iter().filter_map(|(tag, value)| Some((tag.as_str(), (*value)?))));
        let tags = PHASES.map(|phase| format!("secs/{phase}"));
        scalars.extend(tags.iter().map(String::as_str).zip(phase_secs(report)));
        self.events.scalars(report.step, &scalars)
    }

    fn write_image(&mut self, step: u64, name: &str, path: &Path) -> anyhow::Result<()> {
        let png = std::fs::read(path)?;
        let size = png_size(&png)?;
        self.events.image(step, &format!("grid/{name}"), png, size)
    }

    fn score(&mut self, step: u64) -> anyhow::Result<()> {
        let Some(score) = self.score_pictures else { return Ok(()) };
        let scores = score()?;
        self.metrics.write_scores(step, &scores)?;
        self.events.scalars(step, &scores.scalars())?;
        self.progress.say(&format!("step {step}: {scores}"));
        Ok(())
    }

    fn say_phases(&mut self) {
        self.progress.say(&std::mem::take(&mut self.phases).to_string());
    }
}

impl Reporter for Watch<'_> {
    fn on_step(&mut self, report: &StepReport) -> Result<ControlFlow<()>, BoxError> {
        self.metrics.write(report)?;
        self.write_events(report)?;
        self.phases.add(report);
        self.progress.step(report);
        // Checked after the step's lines are written: if the last checkpoint failed, the run ends with one
        // more attempt to write a checkpoint.
        self.checkpoints.check()?;
        Ok(if self.stop.is_asked() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    }

    fn on_checkpoint(&mut self, trainer: &Trainer<'_>) -> Result<(), BoxError> {
        // Only one checkpoint may be in memory at a time.
        self.checkpoints.finish()?;
        // A run that is resumed from this checkpoint needs the lines of all steps before it.
        self.metrics.sync()?;
        let checkpoint = Checkpoint::of(trainer, self.digests.clone())?
            .with_file("config.json", self.model_json.clone().into_bytes())?;
        Ok(self.checkpoints.write(checkpoint)?)
    }

    fn on_eval(&mut self, trainer: &Trainer<'_>) -> Result<(), BoxError> {
        let step = trainer.steps_done();
        // The grids come last: where they are, the evaluation is done.
        let grids = match self.score(step).and_then(|()| (self.draw_grids)(step)) {
            // Stopped while drawing: the run ends at the next step.
            Err(_) if self.stop.is_asked() => return Ok(()),
            grids => grids?,
        };
        for (name, path) in grids {
            self.write_image(step, name, &path)?;
            self.progress.say(&format!("step {step}: {}", path.display()));
        }
        self.say_phases();
        Ok(())
    }

    fn on_end(&mut self, trainer: &Trainer<'_>, ending: Ending) -> Result<(), BoxError> {
        self.checkpoints.finish()?;
        self.progress.end();
        let secs = self.started.elapsed().as_secs_f64();
        if ending == Ending::Stopped {
            self.say_phases();
        }
        tracing::info!("{} steps done, {secs:.0} s since the start", trainer.steps_done());
        Ok(())
    }
}
