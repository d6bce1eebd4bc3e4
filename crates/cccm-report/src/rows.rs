//! The numbers of a report: one row for every model and number of steps.

use std::collections::BTreeSet;

use anyhow::{Context, Result, bail};
use cccm_eval::{Accuracy, Proportion};
use cccm_labels::LabelKind;
use cccm_unet::Role;
use serde::Serialize;

use crate::found::Evaluation;
use crate::models::Model;
use crate::numbers::{Number, Numbers};
use crate::typed::{evaluation_commands, search_commands, training_commands};
use cccm_scores::Scores;

/// Contents of `report.json`.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Report {
    /// Digest of the real images behind all scores.
    pub(crate) data: String,
    pub(crate) features: String,
    pub(crate) samples_per_pair: usize,
    /// Share of real images that the classifier reads right, none of which it learnt from.
    pub(crate) classifier_accuracy: f64,
    pub(crate) classifier: ClassifierNumbers,
    /// Names of the labels; none where scores are of before they had them.
    pub(crate) labels: Vec<LabelKind>,
    pub(crate) real: Numbers,
    pub(crate) models: Vec<Scored>,
}

/// How the classifier reads real images that it did not learn from, label kind by label kind.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct ClassifierNumbers {
    /// Share of the images whose label of the kind it reads right.
    pub(crate) kinds: Vec<Proportion>,
    /// In row `i`, column `j` the number of images that show label `i` and are read as `j`; none in scores of before this.
    pub(crate) confusion: Vec<Vec<Vec<u64>>>,
}

impl ClassifierNumbers {
    /// Of the one classifier that all scores have in common.
    fn of(models: &[Model]) -> Option<Self> {
        let all = || models.iter().flat_map(Model::evaluations).map(|of| &of.record.classifier_accuracy);
        let with_confusion = all().find(|accuracy| !accuracy.confusion.is_empty());
        let Accuracy { kinds, confusion, .. } = with_confusion.or_else(|| all().next())?;
        Some(Self { kinds: kinds.clone(), confusion: confusion.clone() })
    }
}

/// One model with its scores.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Scored {
    pub(crate) name: String,
    pub(crate) role: Role,
    /// Training seeds, where the model is a run of ours.
    pub(crate) seeds: Vec<i64>,
    /// What trained it and scored it.
    pub(crate) commands: Vec<String>,
    pub(crate) rows: Vec<Row>,
}

/// One row.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Row {
    pub(crate) steps: usize,
    pub(crate) guidance_scale: f64,
    /// Runs behind the numbers.
    pub(crate) runs: usize,
    pub(crate) evaluations_per_image: usize,
    /// Absent in a report without times.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ms_per_image: Option<Number>,
    /// What pictures were drawn on, such as `2 threads`; several if runs differ.
    pub(crate) machines: BTreeSet<String>,
    #[serde(flatten)]
    pub(crate) numbers: Numbers,
}

/// A number of steps, in words.
pub(crate) fn steps_text(steps: usize) -> String {
    if steps == 1 { "1 step".to_owned() } else { format!("{steps} steps") }
}

impl Report {
    /// Puts the scores of models beside each other.
    ///
    /// # Errors
    /// When they are not to be compared: other data, classifier, features, or numbers of pictures.
    pub(crate) fn new(models: &[Model]) -> Result<Self> {
        let mut evaluations = models.iter().flat_map(Model::evaluations);
        let first = evaluations.next().context("there are no scores")?;
        evaluations.try_for_each(|other| check_comparable(first, other))?;
        let record = &first.record;
        Ok(Self {
            data: record.data.clone(),
            features: record.features.clone(),
            samples_per_pair: record.settings.samples_per_pair,
            classifier_accuracy: record.classifier_accuracy.all.rate,
            classifier: ClassifierNumbers::of(models).context("there are no scores")?,
            labels: labels(models),
            real: Numbers::of(&[vec![&record.real]]),
            models: models.iter().filter_map(|model| Scored::of(model).transpose()).collect::<Result<_>>()?,
        })
    }

    /// The name of a label, or its number where nobody knows it.
    pub(crate) fn label_name(&self, kind: usize, label: u32) -> String {
        label_name(&self.labels, kind, label)
    }

    /// Forgets the times.
    pub(crate) fn without_times(mut self) -> Self {
        for row in self.models.iter_mut().flat_map(|model| &mut model.rows) {
            row.ms_per_image = None;
        }
        self
    }

    /// The teacher whose scores figures show as a level: the first of those with the most evaluations per
    /// image.
    pub(crate) fn teacher(&self) -> Option<(&Scored, &Row)> {
        let teachers = self.models.iter().filter(|model| model.role == Role::Teacher);
        let rows = teachers.flat_map(|model| model.rows.iter().map(move |row| (model, row)));
        rows.reduce(
            |best, other| {
                if other.1.evaluations_per_image > best.1.evaluations_per_image { other } else { best }
            },
        )
    }
}

fn check_comparable(one: &Evaluation, other: &Evaluation) -> Result<()> {
    let (a, b) = (&one.record, &other.record);
    let (differs, mend) = if a.data != b.data {
        ("images of another data set", "report each data set on its own")
    } else if a.features != b.features {
        ("other features", "run `cccm eval` again with the same ones")
    } else if a.settings.samples_per_pair != b.settings.samples_per_pair {
        (
            "another number of pictures",
            "run `cccm eval` again with the same --samples, as distances fall with it",
        )
    } else if read_otherwise(&a.classifier_accuracy, &b.classifier_accuracy) {
        ("another classifier", "run `cccm eval` again with one --classifier")
    } else {
        return Ok(());
    };
    bail!(
        "the scores in {} and {} cannot be compared, as they are of {differs}: {mend}",
        one.folder.display(),
        other.folder.display()
    )
}

/// Whether two classifiers differ. Confusion tables are not compared, since older scores have none.
fn read_otherwise(one: &Accuracy, other: &Accuracy) -> bool {
    (one.all, &one.kinds, &one.labels) != (other.all, &other.kinds, &other.labels)
}

/// Names of the labels, from the first scores or run that has them.
pub(crate) fn labels(models: &[Model]) -> Vec<LabelKind> {
    let of_scores = models.iter().flat_map(Model::evaluations).map(|evaluation| &evaluation.record.labels);
    let runs = models.iter().flat_map(|model| &model.runs);
    let of_runs = runs.filter_map(|found| found.run.as_ref()).map(|run| &run.labels);
    of_scores.chain(of_runs).find(|labels| !labels.is_empty()).cloned().unwrap_or_default()
}

/// The name of a label, or its number where nobody knows it.
pub(crate) fn label_name(labels: &[LabelKind], kind: usize, label: u32) -> String {
    let name = labels.get(kind).and_then(|kind| kind.names.get(label as usize));
    name.cloned().unwrap_or_else(|| label.to_string())
}

impl Scored {
    /// None if there are no scores.
    fn of(model: &Model) -> Result<Option<Self>> {
        let Some(first) = model.evaluations().next() else { return Ok(None) };
        let mut keys: Vec<(f64, usize)> = model.evaluations().map(key).collect();
        keys.sort_by(|one, other| one.0.total_cmp(&other.0).then(one.1.cmp(&other.1)));
        keys.dedup();
        let runs = model.runs.iter().filter_map(|found| found.run.as_ref());
        Ok(Some(Self {
            name: model.name.clone(),
            role: first.record.role,
            seeds: runs.filter_map(crate::found::Run::seed).collect(),
            commands: [training_commands(model)?, search_commands(model), evaluation_commands(model)]
                .concat(),
            rows: keys.into_iter().filter_map(|key| Row::of(model, key)).collect(),
        }))
    }
}

/// What makes two evaluations of a model two rows.
fn key(evaluation: &Evaluation) -> (f64, usize) {
    let settings = &evaluation.record.settings;
    (settings.guidance_scale, settings.steps)
}

impl Row {
    fn of(model: &Model, (guidance_scale, steps): (f64, usize)) -> Option<Self> {
        let of_run = |evaluations: &'_ [Evaluation]| -> Vec<Evaluation> {
            let same = evaluations.iter().filter(|evaluation| key(evaluation) == (guidance_scale, steps));
            same.cloned().collect()
        };
        let runs: Vec<Vec<Evaluation>> = model.runs.iter().map(|run| of_run(&run.evaluations)).collect();
        let runs: Vec<Vec<Evaluation>> = runs.into_iter().filter(|run| !run.is_empty()).collect();
        let scores: Vec<Vec<&Scores>> =
            runs.iter().map(|run| run.iter().map(|evaluation| &evaluation.record.scores).collect()).collect();
        let millis: Vec<f64> = runs
            .iter()
            .map(|run| {
                let secs: f64 = run.iter().map(|evaluation| evaluation.record.secs_per_image).sum();
                1000.0 * secs / run.len() as f64
            })
            .collect();
        Some(Self {
            steps,
            guidance_scale,
            runs: runs.len(),
            evaluations_per_image: runs.first()?.first()?.record.evaluations_per_image,
            ms_per_image: Number::over_runs(&millis),
            machines: runs.iter().flatten().map(|evaluation| evaluation.record.settings.machine()).collect(),
            numbers: Numbers::of(&scores),
        })
    }
}
