//! Pictures to look at beside the numbers: some of every combination, those that the classifier misreads framed; and one of every
//! combination above the real image that is nearest to it.

use std::path::Path;

use anyhow::Result;
use candle_core::Tensor;
use cccm_data::{Combination, Vocabulary};
use cccm_eval::Nearest;

use crate::draw::Samples;
use crate::judge::Judge;
use crate::score::Reference;
use cccm_render::{Matrix, PixelRange, write_png};

/// Pictures of each combination on the page, one below the other: the first there are.
const PER_COMBINATION: usize = 4;

/// Writes the page: the first images of every combination, none chosen.
///
/// # Errors
/// Those of the file system, with the path.
pub fn write_page(
    path: &Path,
    samples: &Samples,
    judge: &Judge,
    vocabulary: &Vocabulary,
    title: &str,
) -> Result<()> {
    let of_combination = |combination: Combination| -> Vec<usize> {
        let rows = 0..samples.combinations.len();
        rows.filter(|row| samples.combinations[*row] == combination).take(PER_COMBINATION).collect()
    };
    let by_combination: Vec<Vec<usize>> = vocabulary.combinations().map(of_combination).collect();
    let shown = by_combination.iter().map(Vec::len).min().unwrap_or(0);
    let rows: Vec<usize> = by_combination.iter().flat_map(|rows| rows[..shown].iter().copied()).collect();

    let index = Tensor::from_iter(rows.iter().map(|row| *row as u32), samples.images.device())?;
    let images = samples.images.index_select(&index, 0)?;
    let answers = judge.classifier.answer(&images)?.labels;
    let is_misread = |place: usize| {
        let wanted = samples.combinations[rows[place]];
        wanted.iter().zip(&answers).any(|(wanted, answers)| *wanted != answers[place])
    };
    let matrix = Matrix {
        vocabulary,
        per_combination: shown,
        row_label: &|name, _| name.to_owned(),
        title: Some(title),
        framed: Some((&is_misread, "framed: the classifier reads other labels")),
    };
    write_png(path, &matrix.bands(&images, PixelRange::Symmetric)?, &[("Description", title)])
}

/// Writes the page of nearest images: the first picture of each combination, and below it the real image of the combination that is nearest.
/// - `nearest`: of the pictures, as the reference finds them
///
/// # Errors
/// Those of the file system, with the path.
pub fn write_nearest(
    path: &Path,
    samples: &Samples,
    nearest: &[Option<Nearest>],
    reference: &Reference,
    vocabulary: &Vocabulary,
    title: &str,
) -> Result<()> {
    let firsts: Option<Vec<usize>> = vocabulary
        .combinations()
        .map(|combination| samples.combinations.iter().position(|of| *of == combination))
        .collect();
    let found: Option<Vec<(usize, usize)>> =
        firsts.and_then(|rows| rows.into_iter().map(|row| Some((row, nearest[row]?.index))).collect());
    // Where a combination has no picture or no real image, there is nothing to lay side by side.
    let Some(found) = found else { return Ok(()) };

    let ours = Tensor::from_iter(found.iter().map(|(ours, _)| *ours as u32), samples.images.device())?;
    let ours = samples.images.index_select(&ours, 0)?;
    let real = reference.real_images(&found.iter().map(|(_, real)| *real).collect::<Vec<_>>())?;
    let images = Tensor::stack(&[ours, real], 1)?.flatten(0, 1)?;
    let is_unseen = |place: usize| {
        place.is_multiple_of(2) && reference.is_unseen(&samples.combinations[found[place / 2].0])
    };
    let meaning = format!("framed: no training image shows this {}", vocabulary.noun());
    let matrix = Matrix {
        vocabulary,
        per_combination: 2,
        row_label: &|name, n| if n == 0 { name.to_owned() } else { "nearest".to_owned() },
        title: Some(title),
        framed: Some((&is_unseen, &meaning)),
    };
    write_png(path, &matrix.bands(&images, PixelRange::Symmetric)?, &[("Description", title)])
}
