//! A training run from the outside: what it goes by, how it starts, and how it ends.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use cccm_data::Combination;
use cccm_run::{
    Changes, Part, Resumed, RunDir, Settings, Start, TrainSettings, TrainTeacherSettings, check_each, resolve,
};
use cccm_unet::ModelConfig;
use toml::{Table, Value};

use crate::error::{Error, Result};
use crate::progress::TrainingProgress;
use crate::stop::Stop;

/// A teacher's training about to start: settings of [`TrainTeacherSettings`] over the recipe of `cccm train-teacher`.
pub type TeacherTraining = TrainingRun<TrainTeacherSettings>;

/// A distillation about to start: settings of [`TrainSettings`] over the recipe of `cccm train`. Without any it distils the
/// built-in teacher on the built-in digits.
pub type Distillation = TrainingRun<TrainSettings>;

/// A training run about to start. It is watched, stopped and resumed as the command line does, to the same bytes.
#[derive(Clone, Debug)]
pub struct TrainingRun<S> {
    settings: S,
    start: Start,
}

/// How a run ended that did not fail.
#[derive(Debug)]
pub enum Outcome<S> {
    /// All steps are done, and the model is in the run's directory.
    Finished(Box<Finished<S>>),
    /// Somebody asked it to stop after a step; a checkpoint of it is there, and [`TrainingRun::resume`] goes on.
    Stopped {
        /// The run.
        run: RunDir,
        /// Steps that are done.
        steps_done: u64,
    },
    /// This process only helped another one, which has the run.
    Helped,
}

/// A finished run.
#[derive(Debug)]
pub struct Finished<S> {
    /// Its directory; [`RunDir::model`] has the model.
    pub run: RunDir,
    /// What the model is.
    pub config: ModelConfig,
    /// The combinations that no training image showed.
    pub held_out: BTreeSet<Combination>,
    /// Everything it went by.
    pub settings: S,
}

/// What a kind of run adds to its settings: how it trains.
pub trait TrainedBy: Settings {
    /// The settings with links in paths resolved, so that they keep their meaning when a link changes.
    #[must_use]
    fn with_lasting_places(self) -> Self;

    /// Trains by resolved settings.
    ///
    /// # Errors
    /// When anything that the run needs is not there or does not fit, and when training fails.
    fn train(self, launch: Launch<'_>) -> anyhow::Result<Outcome<Self>>;
}

/// What training needs besides its settings.
pub struct Launch<'a> {
    /// The run to go on with, instead of a new one.
    pub resumed: Option<Resumed>,
    /// Starts to listen for requests to stop. Called once all checks have passed.
    pub listen: &'a dyn Fn() -> io::Result<Stop>,
    /// Receives the progress.
    pub progress: &'a mut dyn TrainingProgress,
}

impl<S: TrainedBy + Default> Default for TrainingRun<S> {
    fn default() -> Self {
        Self::new(S::default())
    }
}

impl<S: TrainedBy> TrainingRun<S> {
    /// A run by these settings over the usual recipe.
    pub fn new(settings: S) -> Self {
        Self { settings, start: Start::default() }
    }

    /// Sets one setting by its name, such as `max_steps`, as a file of settings would.
    ///
    /// # Errors
    /// [`Error::Setting`] for a name that is none, and for a value of the wrong type or out of range.
    pub fn set(self, name: &str, value: impl Into<Value>) -> Result<Self> {
        let one = Table::from_iter([(name.to_owned(), value.into())]);
        let refused = |error: anyhow::Error| Error::Setting(format!("{error:#}"));
        check_each::<S>(&one).map_err(refused)?;
        let mut all = Table::try_from(&self.settings).map_err(|error| refused(error.into()))?;
        all.extend(one);
        let settings = all.try_into().map_err(|error: toml::de::Error| refused(error.into()))?;
        Ok(Self { settings, ..self })
    }

    /// Takes the settings of a file where none are set, such as the `config.toml` of a run.
    #[must_use]
    pub fn config(mut self, file: impl Into<PathBuf>) -> Self {
        self.start.config = Some(file.into());
        self
    }

    /// Goes on with a run that was stopped: its directory, or `latest`.
    #[must_use]
    pub fn resume(mut self, run: impl AsRef<Path>) -> Self {
        self.start.resume = Some(run.as_ref().display().to_string());
        self
    }

    /// What the run that goes on may be changed into; by default nothing that would make it another run.
    #[must_use]
    pub fn changes(mut self, changes: Changes) -> Self {
        self.start.changes = changes;
        self
    }

    /// Which part this process has; by default it leads.
    #[must_use]
    pub fn part(mut self, part: Part) -> Self {
        self.start.part = part;
        self
    }

    /// Trains to the end, or until `stop` asks.
    ///
    /// # Errors
    /// [`Error::Other`] with the causes. If something that the run needs is missing or does not fit, this is
    /// found before a directory is created. If training itself fails, the run can be resumed.
    pub fn run(self, progress: &mut dyn TrainingProgress, stop: &Stop) -> Result<Outcome<S>> {
        self.run_listening(progress, &|| Ok(stop.clone()))
    }

    /// Trains to the end, or until the [`Stop`] of `listen` asks. `listen` is called once all checks have
    /// passed.
    ///
    /// # Errors
    /// As [`Self::run`], and when it cannot listen.
    pub fn run_listening(
        self,
        progress: &mut dyn TrainingProgress,
        listen: &dyn Fn() -> io::Result<Stop>,
    ) -> Result<Outcome<S>> {
        let given = Table::try_from(self.settings.with_lasting_places()).map_err(anyhow::Error::from)?;
        let (settings, resumed) = resolve::<S>(given, &self.start)?;
        // A file of settings may hold links, too. A resumed run keeps the paths that it recorded.
        let settings = if resumed.is_none() { settings.with_lasting_places() } else { settings };
        Ok(settings.train(Launch { resumed, listen, progress })?)
    }
}
