//! What training a teacher and a student have in common: loader, run directory, trainer, the finished model.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use cccm_data::{Combination, Loader, LoaderConfig, combination_counts};
use cccm_distill::{
    CheckpointWriter, Ending, MovingAverage, Objective, Reporter, TrainConfig, Trainer, TrainerParts,
};
use cccm_files::create_dirs;
use cccm_run::shell::quoted;
use cccm_run::{
    DataSettings, DrawSettings, EventFile, LastEval, MetricsFile, MetricsLock, OptimSettings, Resumed,
    RunDir, RunSettings, SETTINGS, digest_of, model_card, required, training_facts,
};
use cccm_sample::{BatchSampler, Sampler};
use cccm_sched::{Denoiser, Streams};
use cccm_scores::Scorer;
use cccm_unet::{ModelConfig, ModelFiles, Parameters};
use toml::Table;

use crate::batches::TrainBatches;
use crate::builder::{Finished, Outcome};
use crate::data::{TrainingImages, on_bad_image};
use crate::matrix::{check_fits, write_matrix};
use crate::phases::Phases;
use crate::progress::TrainingProgress;
use crate::real_images::open_real_images;
use crate::stages::warn_of_long_stages;
use crate::stop::Stop;
use crate::team::Team;
use crate::watch::{ScorePictures, Watch};

/// A training run about to start.
pub(crate) struct Training<'a> {
    /// The subcommand, and what names the run directory.
    pub(crate) command: &'static str,
    pub(crate) method: &'a str,
    pub(crate) data: &'a DataSettings,
    pub(crate) draws: &'a DrawSettings,
    pub(crate) optim: &'a OptimSettings,
    pub(crate) run: &'a RunSettings,
    pub(crate) source: &'a TrainingImages,
    pub(crate) objective: &'a dyn Objective,
    /// The network in training, its moving averages, and the weights of the last average, which is drawn in
    /// grids and saved as the run's model.
    pub(crate) config: &'a ModelConfig,
    pub(crate) trained: &'a Parameters,
    pub(crate) averages: Vec<MovingAverage>,
    pub(crate) averaged: &'a Parameters,
    /// The two networks that draw grids: that of the moving average first, then the one in training.
    pub(crate) networks: [&'a dyn Denoiser; 2],
    pub(crate) sampler: &'a dyn Sampler,
    pub(crate) sampling: String,
    /// Steps of a first stage that is not what the training is for; 0 for none.
    pub(crate) first_stage: u64,
    pub(crate) streams: Streams,
    /// The processes that train.
    pub(crate) team: &'a Team,
    /// Digests of everything the run is made from, by name. Empty in processes other than the first.
    pub(crate) digests: BTreeMap<String, String>,
}

/// How a run ended that did not fail.
#[derive(Debug)]
pub(crate) enum Ended {
    /// All steps are done, and the model is in the run's directory.
    Finished(RunDir),
    /// Somebody asked it to stop after a step; a checkpoint of it is there.
    Stopped {
        /// The run.
        run: RunDir,
        /// Steps that are done.
        steps_done: u64,
    },
    /// This process only helped another one.
    Helped,
}

impl Ended {
    /// The outcome for the caller.
    pub(crate) fn outcome<S>(self, config: ModelConfig, source: TrainingImages, settings: S) -> Outcome<S> {
        match self {
            Self::Finished(run) => {
                let held_out = source.held_out;
                Outcome::Finished(Box::new(Finished { run, config, held_out, settings }))
            }
            Self::Stopped { run, steps_done } => Outcome::Stopped { run, steps_done },
            Self::Helped => Outcome::Helped,
        }
    }
}

/// What a run writes while it trains.
struct Files {
    metrics: MetricsFile,
    events: EventFile,
    checkpoints: CheckpointWriter,
}

/// What is needed to watch a run.
struct Watched<'a> {
    run: &'a RunDir,
    /// Of what it is made from.
    digests: BTreeMap<String, String>,
    scorer: Option<&'a Scorer>,
    stop: Stop,
    /// Whether the evaluation after the last step before this start is still to be done.
    eval_is_left: bool,
}

impl Training<'_> {
    /// Trains, and saves the last moving average as the run's model.
    /// - `settings`: everything resolved, for `config.toml`
    /// - `resumed`: the run to go on with, instead of a new one
    /// - `listen`: starts to listen for requests to stop; called once all checks have passed
    pub(crate) fn run(
        &self,
        settings: &Table,
        resumed: Option<Resumed>,
        listen: &dyn Fn() -> io::Result<Stop>,
        progress: &mut dyn TrainingProgress,
    ) -> Result<Ended> {
        let train = self.optim.train_config()?;
        let images_per_step = self.optim.images_per_step()?.saturating_mul(self.team.shard().count);
        let mut trainer = self.trainer(&train, self.source.dataset.len().div_ceil(images_per_step) as u64)?;
        if let Some(resumed) = &resumed {
            self.restore(&mut trainer, resumed)?;
        }
        check_fits(self.source.dataset.vocabulary().combinations().count(), self.config.image_px)
            .context("the grids of this run show every pair")?;
        let loader = self.loader(images_per_step, trainer.position())?;
        let checkpoints_limit = required(self.optim.checkpoints_total_limit, "checkpoints_total_limit")?;
        if !self.team.leads() {
            return self.help(trainer, loader, listen);
        }
        let scorer = self.scorer(progress)?;
        let steps_done = trainer.steps_done();
        let has_card = resumed.as_ref().map_or(Ok(false), |resumed| resumed.run.model_card().try_exists());
        let is_finished =
            has_card.context("cannot look at the run's model")? && steps_done >= trainer.total_steps();
        if !is_finished {
            trainer.join(self.team.assemble()?)?;
        }

        let stop = listen().context("cannot listen for Ctrl-C")?;
        // All checks have passed by now: a run that is refused leaves no directory behind.
        let is_new = resumed.is_none();
        let mut digests = self.digests.clone();
        digests.insert(SETTINGS.to_owned(), digest_of(settings)?);
        let (run, lock) = self.folder(resumed, steps_done, settings)?;
        let eval = if is_new || Self::eval_is_left(&trainer, &run) { LastEval::ToDo } else { LastEval::Done };
        let metrics = lock.behind(steps_done, eval)?;
        if !is_new && let Err(error) = run.checkpoints().prune(steps_done, checkpoints_limit) {
            // Leftovers of a killed process, such as a checkpoint that is only partly removed, do no harm.
            tracing::warn!("old checkpoints stay: {error}");
        }
        if is_finished {
            tracing::info!("{} is finished: all {steps_done} steps are done", run.root().display());
            return Ok(Ended::Finished(run));
        }
        // The run was finished, but is longer now.
        remove_if_there(&run.model_card())?;
        self.announce(&trainer, images_per_step, &run);
        progress.begin(steps_done, trainer.total_steps());
        let files = Files {
            metrics,
            events: self.events(&run, steps_done, settings)?,
            checkpoints: CheckpointWriter::new(run.checkpoints(), checkpoints_limit),
        };
        let eval_is_left = !is_new && Self::eval_is_left(&trainer, &run);
        let watched = Watched { run: &run, digests, scorer: scorer.as_ref(), stop, eval_is_left };
        if self.train(&mut trainer, loader, files, watched, progress)? == Ending::Stopped {
            let steps_done = trainer.steps_done();
            return Ok(Ended::Stopped { run, steps_done });
        }
        self.save_model(&run, settings)?;
        Ok(Ended::Finished(run))
    }

    /// The run's folder, a new one or that of the run to go on with.
    fn folder(
        &self,
        resumed: Option<Resumed>,
        steps_done: u64,
        settings: &Table,
    ) -> Result<(RunDir, MetricsLock)> {
        let Some(resumed) = resumed else {
            return RunDir::create(self.run.save_path.as_deref(), self.method, self.command, settings);
        };
        resumed.record(steps_done, settings)?;
        let (run, lock) = resumed.into_run()?;
        if steps_done == 0 {
            // The run may have been killed before `runs/latest` pointed to it.
            run.link_latest();
        }
        Ok((run, lock))
    }

    /// Trains to the end, or until somebody asks to stop.
    fn train(
        &self,
        trainer: &mut Trainer<'_>,
        loader: Loader,
        files: Files,
        watched: Watched<'_>,
        progress: &mut dyn TrainingProgress,
    ) -> Result<Ending> {
        let Watched { run, digests, scorer, stop, eval_is_left } = watched;
        let draw_grids = |step: u64| self.draw_grids(step, run, &stop);
        let score = scorer.map(|scorer| {
            || {
                let is_asked = || stop.is_asked();
                scorer.score(&self.batches_of(self.networks[0], &is_asked))
            }
        });
        let mut watch = Watch {
            metrics: files.metrics,
            events: files.events,
            progress,
            checkpoints: files.checkpoints,
            stop: stop.clone(),
            draw_grids: &draw_grids,
            score_pictures: score.as_ref().map(|score| score as &ScorePictures<'_>),
            model_json: self.config.to_json()?,
            digests,
            phases: Phases::default(),
            started: Instant::now(),
        };
        if eval_is_left {
            watch.on_eval(trainer).map_err(anyhow::Error::from_boxed)?;
        }
        let mut batches = TrainBatches::new(loader, self.team.device());
        let trained = trainer.run(&mut batches, &mut watch);
        self.team.dismiss(trainer);
        batches.report_skipped();
        trained.with_context(|| {
            drop(watch);
            let (root, word) = (run.root().display(), quoted(run.root().display()));
            format!("{root} stopped; once the cause is fixed, go on with --resume {word}")
        })
    }

    /// Makes the last moving average the run's model.
    fn save_model(&self, run: &RunDir, settings: &Table) -> Result<()> {
        let dir = run.model();
        create_dirs(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
        let model = ModelFiles::in_directory(&dir).prepare(self.config, self.averaged)?;
        let card = model_card(self.config, &training_facts(settings), model.weights_sha256());
        // The card comes last of all: it tells that the run is finished.
        Ok(model.with_file(&run.model_card(), card.as_bytes())?.commit()?)
    }

    /// Trains in a process that is not the first: it writes nothing.
    fn help(
        &self,
        mut trainer: Trainer<'_>,
        loader: Loader,
        listen: &dyn Fn() -> io::Result<Stop>,
    ) -> Result<Ended> {
        trainer.join(self.team.assemble()?)?;
        // The first process handles signals and tells this one to stop. Listening here ignores the first
        // signal; a second one still ends this process.
        let _stop = listen().context("cannot listen for Ctrl-C")?;
        let mut batches = TrainBatches::new(loader, self.team.device());
        let trained = trainer.run(&mut batches, &mut ());
        self.team.dismiss(&mut trainer);
        batches.report_skipped();
        trained?;
        Ok(Ended::Helped)
    }

    /// Puts the trainer where the run's newest whole checkpoint stood, if there is one.
    fn restore(&self, trainer: &mut Trainer<'_>, resumed: &Resumed) -> Result<()> {
        let checkpoints = resumed.run.checkpoints();
        let Some(checkpoint) = checkpoints.newest_whole()? else {
            let damaged = checkpoints.steps()?.len();
            if damaged > 0 {
                let folder = checkpoints.root().display();
                bail!(
                    "none of the {damaged} checkpoints in {folder} is whole: repair one, or remove them to start again"
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

    fn scorer(&self, progress: &dyn TrainingProgress) -> Result<Option<Scorer>> {
        let Some(per_combination) = self.optim.eval_samples.filter(|samples| *samples > 0) else {
            return Ok(None);
        };
        let real = open_real_images(self.data, self.source.dataset.vocabulary(), self.config.image_px)?;
        let watch = |work| progress.other(work);
        Ok(Some(Scorer::new(real, self.config.labels.kinds(), per_combination, &watch)?))
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
        let noun = self.source.dataset.vocabulary().noun();
        tracing::info!(
            "{} parameters; {} images of {} {noun}s, {} {noun}s held out; {} steps{team}",
            self.trained.count(),
            self.source.dataset.len(),
            combination_counts(&*self.source.dataset).len(),
            self.source.held_out.len(),
            trainer.total_steps(),
        );
        tracing::info!("run: {}", run.root().display());
        warn_of_long_stages(self.optim, self.first_stage, trainer.total_steps());
    }

    fn events(&self, run: &RunDir, steps_done: u64, settings: &Table) -> Result<EventFile> {
        let dir = self.run.logging_dir.as_deref().unwrap_or(run.root());
        let mut events = EventFile::create(dir, steps_done + 1)?;
        let name = run.root().file_name().unwrap_or(run.root().as_os_str());
        events.hyper_parameters(&name.to_string_lossy(), settings)?;
        Ok(events)
    }

    /// Every combination as both networks draw it, from the same noise.
    fn draw_grids(&self, step: u64, run: &RunDir, stop: &Stop) -> Result<Vec<(&'static str, PathBuf)>> {
        let vocabulary = self.source.dataset.vocabulary();
        let labels: Vec<Combination> = vocabulary.combinations().collect();
        let trained = self.objective.trained_name();
        let average = self.averages.last().map_or(trained, |average| average.name);
        let files = [(average, run.grid(step, None)), (trained, run.grid(step, Some(trained)))];
        // The first file is written last: if it exists, both do.
        for ((name, path), network) in files.iter().zip(&self.networks).rev() {
            let is_asked = || stop.is_asked();
            let images = self.batches_of(*network, &is_asked).images(0, &labels, &mut |_| ())?;
            let title = format!("{name} after {step} steps, {}", self.sampling);
            write_matrix(path, &images, vocabulary, &self.source.held_out, &title)?;
        }
        Ok(files.into())
    }

    /// How images of a network are sampled, to look at.
    fn batches_of<'b>(&'b self, network: &'b dyn Denoiser, stop: &'b dyn Fn() -> bool) -> BatchSampler<'b> {
        BatchSampler {
            sampler: self.sampler,
            network,
            streams: self.streams,
            image_px: self.config.image_px,
            device: self.team.device(),
            stop,
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
