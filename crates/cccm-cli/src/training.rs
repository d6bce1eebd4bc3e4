//! What training a teacher and a student have in common: loader, run directory, trainer, the finished model.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use cccm_data::{Loader, LoaderConfig, pair_counts};
use cccm_distill::{
    CheckpointWriter, Ending, MovingAverage, Objective, Reporter, TrainConfig, Trainer, TrainerParts,
};
use cccm_files::create_dirs;
use cccm_sample::Sampler;
use cccm_sched::{Denoiser, Streams};
use cccm_unet::{ModelConfig, ModelFiles, Parameters};
use toml::Table;

use crate::args::{DataArgs, DrawArgs, OptimArgs, RunArgs, required};
use crate::batches::TrainBatches;
use crate::display::Display;
use crate::evaluation::Scorer;
use crate::events::EventFile;
use crate::metrics::LastEval;
use crate::model_card::{model_card, training_facts};
use crate::phases::Phases;
use crate::pictures::{Drawing, check_fits, write_matrix};
use crate::resume::{Resumed, SETTINGS, digest_of};
use crate::run_dir::RunDir;
use crate::shell::quoted;
use crate::signals::Interrupt;
use crate::source::{Source, on_bad_image};
use crate::team::Team;
use crate::watch::{ScorePictures, Watch};

/// A training run about to start.
pub(crate) struct Training<'a> {
    /// The subcommand, and what names the run directory.
    pub(crate) command: &'static str,
    pub(crate) method: &'a str,
    pub(crate) data: &'a DataArgs,
    pub(crate) draws: &'a DrawArgs,
    pub(crate) optim: &'a OptimArgs,
    pub(crate) run: &'a RunArgs,
    pub(crate) source: &'a Source,
    pub(crate) objective: &'a dyn Objective,
    /// The network in training, its moving averages, and the weights of the last of these: the one that is looked at, and
    /// saved as the run's model.
    pub(crate) config: &'a ModelConfig,
    pub(crate) trained: &'a Parameters,
    pub(crate) averages: Vec<MovingAverage>,
    pub(crate) averaged: &'a Parameters,
    /// How both are looked at: that moving average first.
    pub(crate) networks: [&'a dyn Denoiser; 2],
    pub(crate) sampler: &'a dyn Sampler,
    pub(crate) sampling: String,
    pub(crate) streams: Streams,
    /// The processes that train.
    pub(crate) team: &'a Team,
    /// Of everything the run is made from, by name; the first process alone has to know.
    pub(crate) digests: BTreeMap<String, String>,
}

/// How a run ended that did not fail.
pub(crate) enum Outcome {
    /// All steps are done, and the model is in the run's directory.
    Finished(RunDir),
    /// Somebody asked it to stop, or this process only helped another one; with what to exit.
    Stopped(ExitCode),
}

impl Training<'_> {
    /// Trains, and saves the last moving average as the run's model.
    /// - `settings`: everything resolved, for `config.toml`
    /// - `resumed`: the run to go on with, instead of a new one
    pub(crate) fn run(&self, settings: &Table, resumed: Option<Resumed>) -> Result<Outcome> {
        let train = self.optim.train_config()?;
        let images_per_step = self.optim.images_per_step()?.saturating_mul(self.team.shard().count);
        let mut trainer = self.trainer(&train, self.source.dataset.len().div_ceil(images_per_step) as u64)?;
        if let Some(resumed) = &resumed {
            self.restore(&mut trainer, resumed)?;
        }
        check_fits(self.source.dataset.vocabulary().pairs().count(), self.config.image_px)
            .context("the grids of this run show every pair")?;
        let loader = self.loader(images_per_step, trainer.position())?;
        let checkpoints_limit = required(self.optim.checkpoints_total_limit, "checkpoints_total_limit")?;
        if !self.team.leads() {
            return self.help(trainer, loader);
        }
        let scorer = self.scorer()?;
        let steps_done = trainer.steps_done();
        let has_card = resumed.as_ref().map_or(Ok(false), |resumed| resumed.run.model_card().try_exists());
        let is_finished =
            has_card.context("cannot look at the run's model")? && steps_done >= trainer.total_steps();
        if !is_finished {
            trainer.join(self.team.assemble()?)?;
        }

        let interrupt = Interrupt::listen().context("cannot listen for Ctrl-C")?;
        // Everything that can be wrong is known by now: a refused run leaves no directory behind.
        let is_new = resumed.is_none();
        let mut digests = self.digests.clone();
        digests.insert(SETTINGS.to_owned(), digest_of(settings)?);
        let (run, lock) = match resumed {
            None => RunDir::create(self.run.save_path.as_deref(), self.method, self.command, settings)?,
            Some(resumed) => {
                resumed.record(steps_done, settings)?;
                resumed.into_run()?
            }
        };
        let eval = if is_new || Self::eval_is_left(&trainer, &run) { LastEval::ToDo } else { LastEval::Done };
        let metrics = lock.behind(steps_done, eval)?;
        if is_finished {
            tracing::info!("{} is finished: all {steps_done} steps are done", run.root().display());
            return Ok(Outcome::Finished(run));
        }
        // Of a run that is longer now: it is not finished any more.
        remove_if_there(&run.model_card())?;
        self.announce(&trainer, images_per_step, &run);

        let draw_grids = |step: u64| self.draw_grids(step, &run, &interrupt);
        let score =
            scorer.as_ref().map(|scorer| || scorer.score(&self.drawing(self.networks[0], &interrupt)));
        let mut watch = Watch {
            metrics,
            events: self.events(&run, steps_done, settings)?,
            display: Display::new(steps_done, trainer.total_steps())?,
            checkpoints: CheckpointWriter::new(run.checkpoints(), checkpoints_limit),
            interrupt: interrupt.clone(),
            draw_grids: &draw_grids,
            score_pictures: score.as_ref().map(|score| score as &ScorePictures<'_>),
            model_json: self.config.to_json()?,
            digests,
            phases: Phases::default(),
        };
        if !is_new && Self::eval_is_left(&trainer, &run) {
            watch.on_eval(&trainer).map_err(anyhow::Error::from_boxed)?;
        }
        let mut batches = TrainBatches::new(loader, self.team.device());
        let trained = trainer.run(&mut batches, &mut watch);
        self.team.dismiss(&mut trainer);
        batches.report_skipped();
        let ending = trained.with_context(|| {
            drop(watch);
            let (root, word) = (run.root().display(), quoted(run.root().display()));
            format!("{root} stopped; once that is mended, go on with --resume {word}")
        })?;
        if ending == Ending::Stopped {
            tracing::info!(
                "stopped after step {}; go on with\n  cccm {} --resume {}",
                trainer.steps_done(),
                self.command,
                quoted(run.root().display())
            );
            return Ok(Outcome::Stopped(interrupt.exit_code()));
        }
        let dir = run.model();
        create_dirs(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
        let model = ModelFiles::in_directory(&dir).prepare(self.config, self.averaged)?;
        let card = model_card(self.config, &training_facts(settings), model.weights_sha256());
        // The card comes last of all: it tells that the run is finished.
        model.with_file(&run.model_card(), card.as_bytes())?.commit()?;
        Ok(Outcome::Finished(run))
    }

    /// Trains as another process than the first, which writes nothing.
    fn help(&self, mut trainer: Trainer<'_>, loader: Loader) -> Result<Outcome> {
        trainer.join(self.team.assemble()?)?;
        // Signals are for the first process, which tells this one what to do about them; the second one ends it all the same.
        let _interrupt = Interrupt::listen().context("cannot listen for Ctrl-C")?;
        let mut batches = TrainBatches::new(loader, self.team.device());
        let trained = trainer.run(&mut batches, &mut ());
        self.team.dismiss(&mut trainer);
        batches.report_skipped();
        trained?;
        Ok(Outcome::Stopped(ExitCode::SUCCESS))
    }

    /// Puts the trainer where the run's newest whole checkpoint stood, if there is one.
    fn restore(&self, trainer: &mut Trainer<'_>, resumed: &Resumed) -> Result<()> {
        let checkpoints = resumed.run.checkpoints();
        let Some(checkpoint) = checkpoints.newest_whole()? else {
            let damaged = checkpoints.steps()?.len();
            if damaged > 0 {
                let folder = checkpoints.root().display();
                bail!(
                    "none of the {damaged} checkpoints in {folder} is whole: mend one, or remove them to start anew"
                );
            }
            tracing::warn!("{} has no whole checkpoint: it starts anew", resumed.run.root().display());
            return Ok(());
        };
        if self.team.leads() {
            resumed.check_digests(checkpoint.state(), &self.digests)?;
        }
        checkpoint.restore(trainer)?;
        tracing::info!("going on after step {}", trainer.steps_done());
        Ok(())
    }

    /// Whether the run was killed between its checkpoint and its grids.
    fn eval_is_left(trainer: &Trainer<'_>, run: &RunDir) -> bool {
        trainer.eval_is_due() && !run.grid(trainer.steps_done(), None).exists()
    }

    fn scorer(&self) -> Result<Option<Scorer>> {
        let Some(per_pair) = self.optim.eval_samples.filter(|samples| *samples > 0) else { return Ok(None) };
        let vocabulary = self.source.dataset.vocabulary();
        let scorer = Scorer::new(self.data, &self.config.labels, vocabulary, self.config.image_px, per_pair)?;
        Ok(Some(scorer))
    }

    fn loader(&self, images_per_step: usize, (epoch, index): (u64, u64)) -> Result<Loader> {
        let seed = required(self.run.seed, "seed")?;
        let mut config = LoaderConfig::new(images_per_step, seed);
        config.on_bad_image = on_bad_image(self.data);
        config.shard = self.team.shard();
        self.draws.apply(&mut config, self.source.dataset.vocabulary())?;
        let dataset = Arc::clone(&self.source.dataset);
        Ok(Loader::starting_at(dataset, &config, epoch as usize, index as usize)?)
    }

    fn trainer(&self, train: &TrainConfig, steps_per_epoch: u64) -> Result<Trainer<'_>> {
        let parts = TrainerParts {
            objective: self.objective,
            trained: self.trained.vars().clone(),
            averages: self.averages.clone(),
            streams: self.streams,
            steps_per_epoch,
        };
        Ok(Trainer::new(train, parts)?)
    }

    fn announce(&self, trainer: &Trainer<'_>, images_per_step: usize, run: &RunDir) {
        let team = match self.team.shard().count {
            1 => String::new(),
            devices => format!(" of {images_per_step} images on {devices} devices"),
        };
        tracing::info!(
            "{} parameters; {} images of {} pairs, {} pairs held out; {} steps{team}",
            self.trained.count(),
            self.source.dataset.len(),
            pair_counts(&*self.source.dataset).len(),
            self.source.held_out.len(),
            trainer.total_steps(),
        );
        tracing::info!("run: {}", run.root().display());
    }

    fn events(&self, run: &RunDir, steps_done: u64, settings: &Table) -> Result<EventFile> {
        let dir = self.run.logging_dir.as_deref().unwrap_or(run.root());
        let mut events = EventFile::create(dir, steps_done + 1)?;
        let name = run.root().file_name().unwrap_or(run.root().as_os_str());
        events.hyper_parameters(&name.to_string_lossy(), settings)?;
        Ok(events)
    }

    /// Every pair as both networks draw it, from the same noise.
    fn draw_grids(
        &self,
        step: u64,
        run: &RunDir,
        interrupt: &Interrupt,
    ) -> Result<Vec<(&'static str, PathBuf)>> {
        let vocabulary = self.source.dataset.vocabulary();
        let pairs: Vec<_> = vocabulary.pairs().collect();
        let trained = self.objective.trained_name();
        let average = self.averages.last().map_or(trained, |average| average.name);
        let files = [(average, run.grid(step, None)), (trained, run.grid(step, Some(trained)))];
        for ((name, path), network) in files.iter().zip(&self.networks) {
            let drawing = self.drawing(*network, interrupt);
            let images = drawing.images(0, &pairs, &mut |_| ())?;
            let title = format!("{name} after {step} steps, {}", self.sampling);
            write_matrix(path, &images, vocabulary, &self.source.held_out, &title)?;
        }
        Ok(files.into())
    }

    /// How a network is looked at.
    fn drawing<'b>(&'b self, network: &'b dyn Denoiser, interrupt: &'b Interrupt) -> Drawing<'b> {
        Drawing {
            sampler: self.sampler,
            network,
            streams: self.streams,
            image_px: self.config.image_px,
            device: self.team.device(),
            interrupt: Some(interrupt),
        }
    }
}

fn remove_if_there(file: &Path) -> Result<()> {
    match std::fs::remove_file(file) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", file.display()))
        }
        _ => Ok(()),
    }
}
