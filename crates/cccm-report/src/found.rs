//! Finding runs and scores below a folder.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use cccm_labels::LabelKind;
use cccm_run::{CONFIG, PROVENANCE, steps_of_change};
use cccm_unet::{Error, ModelConfig};
use toml::{Table, Value};

use crate::curve::Curve;
use cccm_scores::{Record, Search};

/// Folders of a run that hold no scores, and may hold much else.
const NO_SCORES: [&str; 4] = ["checkpoints", "grids", "model", "samples"];

/// A run, or the scores of a model that is none.
#[derive(Clone, Debug)]
pub struct Found {
    pub(crate) root: PathBuf,
    pub(crate) run: Option<Run>,
    pub(crate) evaluations: Vec<Evaluation>,
}

impl Found {
    /// Where its scores are, with links resolved. Two folders with scores of one run may be named as two
    /// paths, and then differ here.
    pub fn place(&self) -> PathBuf {
        let place = self.evaluations.first().map_or(&self.root, |evaluation| &evaluation.folder);
        fs::canonicalize(place).unwrap_or_else(|_| place.clone())
    }
}

/// How a run came about.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    /// The command that trained it.
    pub(crate) command: String,
    pub(crate) threads: Option<i64>,
    /// Of its last steps, which are all where `changes` is empty.
    pub(crate) settings: Table,
    /// Steps from which on it had other settings than before.
    pub(crate) changes: Vec<u64>,
    pub(crate) curve: Curve,
    /// Of the model, if there is one yet that can be read.
    pub(crate) labels: Vec<LabelKind>,
    /// How its timesteps were searched, by numbers of steps.
    pub(crate) searches: BTreeMap<usize, Search>,
}

/// The scores of one number of steps.
#[derive(Clone, Debug)]
pub(crate) struct Evaluation {
    /// `steps-N`, with the pictures.
    pub(crate) folder: PathBuf,
    pub(crate) record: Record,
}

/// Every run and every folder of scores at or below a path, in the order of their names.
///
/// # Errors
/// When the path is no folder, holds no scores, or something in it cannot be read.
pub fn find(path: &Path) -> Result<Vec<Found>> {
    if !path.is_dir() {
        bail!(
            "{} is no folder: name a run, a folder of runs, or the folder that `cccm eval` wrote",
            path.display()
        );
    }
    let mut found = Vec::new();
    walk(path, &mut found)?;
    if found.iter().all(|found| found.evaluations.is_empty()) {
        bail!("there are no scores in {}: `cccm eval --checkpoint RUN` writes them", path.display());
    }
    Ok(found)
}

fn walk(folder: &Path, found: &mut Vec<Found>) -> Result<()> {
    if folder.join(CONFIG).is_file() {
        let mut evaluations = Vec::new();
        for below in folders(folder)? {
            scores_below(&below, &mut evaluations)?;
        }
        if evaluations.is_empty() {
            tracing::warn!("no scores in {0} yet: `cccm eval --checkpoint {0}`", folder.display());
        }
        let evaluations = in_order(evaluations);
        found.push(Found { root: folder.to_owned(), run: Some(Run::read(folder)?), evaluations });
        return Ok(());
    }
    let (scored, others): (Vec<PathBuf>, Vec<PathBuf>) =
        folders(folder)?.into_iter().partition(|below| holds_scores(below));
    let own = holds_scores(folder).then(|| folder.to_owned());
    let evaluations: Vec<Evaluation> =
        own.into_iter().chain(scored).map(Evaluation::read).collect::<Result<_>>()?;
    if !evaluations.is_empty() {
        let evaluations = in_order(evaluations);
        // The path may be the folder with the scores inside a run.
        found.push(match folder.parent().filter(|above| above.join(CONFIG).is_file()) {
            Some(run) => Found { root: run.to_owned(), run: Some(Run::read(run)?), evaluations },
            None => Found { root: folder.to_owned(), run: None, evaluations },
        });
    }
    others.iter().try_for_each(|below| walk(below, found))
}

fn scores_below(folder: &Path, evaluations: &mut Vec<Evaluation>) -> Result<()> {
    if holds_scores(folder) {
        evaluations.push(Evaluation::read(folder.to_owned())?);
    }
    for below in folders(folder)? {
        scores_below(&below, evaluations)?;
    }
    Ok(())
}

/// By steps, as names sort 10 before 2.
fn in_order(mut evaluations: Vec<Evaluation>) -> Vec<Evaluation> {
    evaluations.sort_by_key(|evaluation| evaluation.record.settings.steps);
    evaluations
}

fn holds_scores(folder: &Path) -> bool {
    folder.join(Record::FILE).is_file()
}

/// Folders directly below that may hold scores; links, such as `runs/latest`, would show a run twice.
fn folders(folder: &Path) -> Result<Vec<PathBuf>> {
    let list = || -> std::io::Result<Vec<PathBuf>> {
        let mut below = Vec::new();
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let skipped = NO_SCORES.iter().any(|name| entry.file_name() == *name);
            if entry.file_type()?.is_dir() && !skipped {
                below.push(entry.path());
            }
        }
        below.sort();
        Ok(below)
    };
    list().with_context(|| format!("cannot list {}", folder.display()))
}

impl Evaluation {
    fn read(folder: PathBuf) -> Result<Self> {
        Ok(Self { record: Record::read(&folder)?, folder })
    }
}

impl Run {
    fn read(root: &Path) -> Result<Self> {
        let path = root.join(CONFIG);
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let mut settings: Table =
            text.parse().with_context(|| format!("cannot use the settings in {}", path.display()))?;
        let provenance = settings.remove(PROVENANCE);
        let said = |name: &str| provenance.as_ref().and_then(|provenance| provenance.get(name));
        let Some(command) = said("command").and_then(Value::as_str) else {
            bail!("{} has no `command` under [{PROVENANCE}], which every run writes", path.display())
        };
        let metrics = root.join("metrics.jsonl");
        let model = root.join("model").join("config.json");
        // Only for the names of labels: a model that another version wrote is no hindrance.
        let config = match ModelConfig::load(&model) {
            Ok(config) => Some(config),
            // A file that exists but cannot be read is an error. A missing file means that the run is not
            // finished.
            Err(Error::Io { source, .. }) if source.kind() != ErrorKind::NotFound => {
                return Err(source).with_context(|| format!("cannot read {}", model.display()));
            }
            Err(_) => None,
        };
        // Further training replaces the timesteps that a search found by the usual ones.
        let student = config.as_ref().and_then(|config| config.student.as_ref());
        let searched = |steps: &usize| student.and_then(|student| student.few_step_timesteps.get(steps));
        let mut searches = Search::read(&model)?;
        searches.retain(|steps, search| searched(steps).is_some_and(|timesteps| search.is_of(timesteps)));
        for search in searches.values_mut() {
            // One command may have found several.
            search.timesteps = None;
        }
        Ok(Self {
            command: command.to_owned(),
            threads: said("threads").and_then(Value::as_integer),
            changes: steps_of_change(root)?,
            curve: if metrics.is_file() { Curve::read(&metrics)? } else { Curve::default() },
            searches,
            labels: config.map(|config| config.labels.kinds().to_vec()).unwrap_or_default(),
            settings,
        })
    }
}
