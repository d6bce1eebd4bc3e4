//! What training a teacher and a student have in common: loader, run directory, trainer, the finished model.

use std::sync::Arc;

use anyhow::{Context, Result};
use candle_core::Device;
use cccm_data::{Loader, LoaderConfig, pair_counts};
use cccm_distill::{Averaging, Objective, TrainConfig, Trainer, TrainerParts};
use cccm_sample::Sampler;
use cccm_sched::{Denoiser, Streams};
use cccm_unet::{ModelConfig, ModelFiles, Parameters};
use serde::Serialize;

use crate::args::{DataArgs, OptimArgs, RunArgs, required};
use crate::batches::TrainBatches;
use crate::files::write_atomically;
use crate::model_card::{model_card, training_facts};
use crate::pictures::{Drawing, write_matrix};
use crate::run_dir::RunDir;
use crate::source::{Source, on_bad_image};
use crate::watch::Watch;

/// A training run about to start.
pub(crate) struct Training<'a> {
    /// The subcommand, and what names the run directory.
    pub(crate) command: &'static str,
    pub(crate) method: &'a str,
    pub(crate) data: &'a DataArgs,
    pub(crate) optim: &'a OptimArgs,
    pub(crate) run: &'a RunArgs,
    pub(crate) source: &'a Source,
    pub(crate) objective: &'a dyn Objective,
    /// The network in training, and its moving average.
    pub(crate) config: &'a ModelConfig,
    pub(crate) trained: &'a Parameters,
    pub(crate) averaged: &'a Parameters,
    pub(crate) averaging: Averaging,
    /// How the moving average is looked at.
    pub(crate) network: &'a dyn Denoiser,
    pub(crate) sampler: &'a dyn Sampler,
    pub(crate) sampling: String,
    pub(crate) streams: Streams,
    pub(crate) device: &'a Device,
}

impl Training<'_> {
    /// Trains, and saves the moving average as the run's model.
    /// - `settings`: everything resolved, for `config.toml`
    pub(crate) fn run(self, settings: &impl Serialize) -> Result<RunDir> {
        let train = self.optim.train_config()?;
        let loader = self.loader()?;
        let mut trainer = self.trainer(&train, loader.steps_per_epoch() as u64)?;
        let limit = required(self.optim.checkpoints_total_limit, "checkpoints_total_limit")?;

        // Everything that can be wrong is known by now: a refused run leaves no directory behind.
        let run = RunDir::create(self.run.save_path.as_deref(), self.method, self.command, settings)?;
        self.announce(&trainer, &run);
        let draw_grid = |step: u64, run: &RunDir| self.draw_grid(step, run);
        let mut watch = Watch::new(&run, trainer.total_steps(), self.config.to_json()?, limit, &draw_grid)?;
        trainer.run(TrainBatches::new(loader, self.device), &mut watch)?;

        let dir = run.model();
        std::fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
        ModelFiles::in_directory(&dir).save(self.config, self.averaged)?;
        let card = model_card(self.config, &training_facts(settings));
        write_atomically(&dir.join("README.md"), card.as_bytes())?;
        Ok(run)
    }

    fn loader(&self) -> Result<Loader> {
        let seed = required(self.run.seed, "seed")?;
        let mut config = LoaderConfig::new(self.optim.images_per_step()?, seed);
        config.on_bad_image = on_bad_image(self.data);
        Ok(Loader::new(Arc::clone(&self.source.dataset), &config)?)
    }

    fn trainer(&self, train: &TrainConfig, steps_per_epoch: u64) -> Result<Trainer<'_>> {
        let parts = TrainerParts {
            objective: self.objective,
            trained: self.trained.vars().clone(),
            target: self.averaged.vars().clone(),
            averaging: self.averaging,
            streams: self.streams,
            steps_per_epoch,
        };
        Ok(Trainer::new(train, parts)?)
    }

    fn announce(&self, trainer: &Trainer<'_>, run: &RunDir) {
        tracing::info!(
            "{} parameters; {} images of {} pairs, {} pairs held out; {} steps",
            self.trained.count(),
            self.source.dataset.len(),
            pair_counts(&*self.source.dataset).len(),
            self.source.held_out.len(),
            trainer.total_steps(),
        );
        tracing::info!("run: {}", run.root().display());
    }

    fn draw_grid(&self, step: u64, run: &RunDir) -> Result<()> {
        let vocabulary = self.source.dataset.vocabulary();
        let drawing = Drawing {
            sampler: self.sampler,
            network: self.network,
            streams: self.streams,
            image_px: self.config.image_px,
            device: self.device,
        };
        let pairs: Vec<_> = vocabulary.pairs().collect();
        let images = drawing.images(&pairs, &mut |_| ())?;
        let title = format!("after {step} steps, {}", self.sampling);
        write_matrix(&run.grid(step), &images, vocabulary, &self.source.held_out, &title)
    }
}
