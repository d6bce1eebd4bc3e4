//! Pictures to look at beside the numbers: some of every pair, those that the classifier misreads framed; and one of every
//! pair above the real image that is nearest to it.

use std::path::Path;

use anyhow::Result;
use candle_core::Tensor;
use cccm_data::{Pair, Vocabulary};
use cccm_eval::Nearest;

use crate::draw::Samples;
use crate::judge::Judge;
use crate::score::Reference;
use cccm_render::{GridPicture, Marks, PixelRange, write_png};

/// Pictures of each pair on the page, one below the other: the first there are.
const PER_PAIR: usize = 4;

/// Writes the page: attributes from top to bottom, objects from left to right, none chosen.
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
    let of_pair = |pair: Pair| -> Vec<usize> {
        let rows = 0..samples.pairs.len();
        rows.filter(|row| samples.pairs[*row] == pair).take(PER_PAIR).collect()
    };
    let by_pair: Vec<Vec<usize>> = vocabulary.pairs().map(of_pair).collect();
    let shown = by_pair.iter().map(Vec::len).min().unwrap_or(0);
    let columns = vocabulary.objects.len();
    let of_attribute = |pairs: &[Vec<usize>]| {
        (0..shown).flat_map(|n| pairs.iter().map(move |rows| rows[n])).collect::<Vec<_>>()
    };
    let rows: Vec<usize> = by_pair.chunks(columns).flat_map(of_attribute).collect();

    let index = Tensor::from_iter(rows.iter().map(|row| *row as u32), samples.images.device())?;
    let images = samples.images.index_select(&index, 0)?;
    let answers = judge.classifier.answer(&images)?.labels;
    let misread = rows.iter().enumerate().filter(|(place, row)| {
        let Pair { attribute, object } = samples.pairs[**row];
        [attribute, object] != [answers[0][*place], answers[1][*place]]
    });
    let marks = Marks {
        images: misread.map(|(place, _)| place).collect(),
        meaning: "framed: the classifier reads other labels".to_owned(),
    };
    let picture = GridPicture {
        columns,
        column_labels: vocabulary.objects.clone(),
        row_labels: vocabulary
            .attributes
            .iter()
            .flat_map(|name| std::iter::repeat_n(name.clone(), shown))
            .collect(),
        title: Some(title.to_owned()),
        marks: Some(marks),
    };
    write_png(path, &picture.draw(&images, PixelRange::Symmetric)?, &[("Description", title)])
}

/// Writes the page of nearest images: the first picture of each pair, and below it the real image of the pair that is nearest.
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
    let firsts: Option<Vec<usize>> =
        vocabulary.pairs().map(|pair| samples.pairs.iter().position(|of| *of == pair)).collect();
    let found: Option<Vec<(usize, usize)>> =
        firsts.and_then(|rows| rows.into_iter().map(|row| Some((row, nearest[row]?.index))).collect());
    // Where a pair has no picture or no real image, there is nothing to lay side by side.
    let Some(found) = found else { return Ok(()) };

    let columns = vocabulary.objects.len();
    let (mut images, mut marked) = (Vec::new(), Vec::new());
    for (number, row) in found.chunks(columns).enumerate() {
        let ours: Vec<u32> = row.iter().map(|(ours, _)| *ours as u32).collect();
        let ours = Tensor::from_vec(ours, row.len(), samples.images.device())?;
        images.push(samples.images.index_select(&ours, 0)?);
        images.push(reference.real_images(&row.iter().map(|(_, real)| *real).collect::<Vec<_>>())?);
        let unseen =
            row.iter().enumerate().filter(|(_, (ours, _))| reference.is_unseen(&samples.pairs[*ours]));
        marked.extend(unseen.map(|(column, _)| 2 * number * columns + column));
    }
    let picture = GridPicture {
        columns,
        column_labels: vocabulary.objects.clone(),
        row_labels: vocabulary
            .attributes
            .iter()
            .flat_map(|name| [name.clone(), "nearest".to_owned()])
            .collect(),
        title: Some(title.to_owned()),
        marks: Some(Marks {
            images: marked,
            meaning: "framed: no training image shows this pair".to_owned(),
        }),
    };
    write_png(
        path,
        &picture.draw(&Tensor::cat(&images, 0)?, PixelRange::Symmetric)?,
        &[("Description", title)],
    )
}
