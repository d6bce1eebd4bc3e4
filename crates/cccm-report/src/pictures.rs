//! The pictures behind the scores, side by side.

use anyhow::{Context, Result};
use candle_core::Tensor;
use cccm_labels::{LabelKind, Vocabulary, usual_kind};
use cccm_render::{Bands as _, Below, GridPicture, Marks, Matrix, PixelRange, beside};
use cccm_scores::first_pictures;
use image::RgbImage;

use crate::found::Evaluation;
use crate::models::Model;
use crate::rows::{label_name, labels, steps_text};

/// Pairs of each kind, seen and unseen, in `before_after.png`, at most.
const PAIRS_PER_KIND: usize = 8;
const FRAMED: &str = "framed: pairs that no training image shows";

/// One evaluation with its pictures, one of every pair.
struct Shown<'a> {
    name: String,
    evaluation: &'a Evaluation,
    /// `(pairs, 3, px, px)`, about `[-1, 1]`.
    pictures: Tensor,
}

/// Every pair, drawn by every model (from top to bottom) in every number of steps (from left to right): the first picture
/// of each. None if no pictures are kept.
pub(crate) fn matrices(models: &[Model]) -> Result<Option<RgbImage>> {
    let labels = labels(models);
    let mut rows = Vec::new();
    for model in models {
        let mut row = Vec::new();
        for shown in shown(model)? {
            row.push(matrix(&shown, &labels)?);
        }
        rows.push(beside(&row));
    }
    let rows: Vec<RgbImage> = rows.into_iter().flatten().collect();
    Ok((!rows.is_empty()).then(|| Below(rows).whole()))
}

/// The same pairs from the same noise by every model and number of steps, one row each: teachers above students. The pairs
/// are spread evenly over the unseen ones and over the seen ones. None if no pictures are kept.
pub(crate) fn before_after(models: &[Model]) -> Result<Option<RgbImage>> {
    let labels = labels(models);
    let mut all = Vec::new();
    for model in models {
        all.extend(shown(model)?);
    }
    let Some(first) = all.first() else { return Ok(None) };
    let noise = first.evaluation.record.settings.seed;
    all.retain(|shown| shown.evaluation.record.settings.seed == noise);
    all.sort_by_key(|shown| shown.evaluation.record.role != cccm_unet::Role::Teacher);

    let combinations = &all[0].evaluation.record.scores.accuracy.combinations;
    let of_kind = |seen: bool| -> Vec<usize> {
        let all: Vec<usize> =
            (0..combinations.len()).filter(|pair| combinations[*pair].seen == seen).collect();
        spread(&all, PAIRS_PER_KIND)
    };
    let unseen = of_kind(false);
    let pairs = [unseen.clone(), of_kind(true)].concat();
    let index = Tensor::from_iter(pairs.iter().map(|pair| *pair as u32), &candle_core::Device::Cpu)?;
    let parts: Vec<Tensor> =
        all.iter().map(|shown| shown.pictures.index_select(&index, 0)).collect::<candle_core::Result<_>>()?;
    let framed = (0..all.len()).flat_map(|row| (0..unseen.len()).map(move |column| (row, column)));
    let picture = GridPicture {
        columns: pairs.len(),
        column_labels: pairs.iter().map(|pair| name_of(&labels, &combinations[*pair].labels)).collect(),
        row_labels: all.iter().map(|shown| shown.name.clone()).collect(),
        title: Some("the same pairs from the same noise".to_owned()),
        marks: Some(Marks {
            images: framed.map(|(row, column)| row * pairs.len() + column).collect(),
            meaning: FRAMED.to_owned(),
        }),
    };
    Ok(Some(picture.draw(&Tensor::cat(&parts, 0)?, PixelRange::Symmetric)?))
}

/// At most `count`, spread evenly, the first among them.
fn spread(all: &[usize], count: usize) -> Vec<usize> {
    let count = count.min(all.len());
    (0..count).map(|n| all[n * all.len() / count]).collect()
}

/// What the first run of a model drew, as far as it is kept.
fn shown(model: &Model) -> Result<Vec<Shown<'_>>> {
    let mut shown = Vec::new();
    let Some(run) = model.runs.iter().find(|run| !run.evaluations.is_empty()) else { return Ok(shown) };
    for evaluation in &run.evaluations {
        let record = &evaluation.record;
        let pairs = record.scores.accuracy.combinations.len();
        match first_pictures(&evaluation.folder, pairs)? {
            Some(pictures) => {
                let name = format!("{}, {}", model.name, steps_text(record.settings.steps));
                shown.push(Shown { name, evaluation, pictures });
            }
            None => {
                tracing::warn!(
                    "the pictures of {} are gone: they are not shown",
                    evaluation.folder.display()
                );
            }
        }
    }
    Ok(shown)
}

fn matrix(shown: &Shown<'_>, labels: &[LabelKind]) -> Result<RgbImage> {
    let accuracy = &shown.evaluation.record.scores.accuracy;
    let kinds = accuracy.labels.iter().enumerate().map(|(kind, of)| {
        let name = labels.get(kind).map_or_else(|| usual_kind(kind), |kind| kind.kind.clone());
        LabelKind::new(name, (0..of.len() as u32).map(|label| label_name(labels, kind, label)))
    });
    let vocabulary = Vocabulary::new(kinds)?;
    let is_unseen = |place: usize| !accuracy.combinations[place].seen;
    let matrix = Matrix {
        vocabulary: &vocabulary,
        per_combination: 1,
        row_label: &|name, _| name.to_owned(),
        title: Some(&shown.name),
        framed: Some((&is_unseen, FRAMED)),
    };
    matrix
        .draw(&shown.pictures, PixelRange::Symmetric)
        .with_context(|| format!("cannot show the pictures of {}", shown.evaluation.folder.display()))
}

fn name_of(labels: &[LabelKind], pair: &[u32]) -> String {
    let names = pair.iter().enumerate().map(|(kind, label)| label_name(labels, kind, *label));
    names.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_spread_evenly() {
        assert_eq!(spread(&[3, 5, 7, 9, 11], 2), [3, 7]);
        assert_eq!(spread(&[3, 5], 8), [3, 5]);
        assert_eq!(spread(&[], 8), [0; 0]);
    }
}
