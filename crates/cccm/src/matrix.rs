//! The matrix of all combinations as one picture.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Result, bail};
use candle_core::Tensor;
use cccm_labels::{Combination, Vocabulary};
use cccm_render::{Matrix, PixelRange, write_png};

/// Refuses more pictures than one file is made of, before any is drawn.
///
/// # Errors
/// When they are more than 2 GiB of numbers.
pub fn check_fits(pictures: usize, image_px: usize) -> Result<()> {
    /// Values of three channels: 2 GiB as they are drawn.
    const MOST_VALUES: usize = 1 << 29;
    let values = image_px.checked_mul(image_px).and_then(|pixels| pixels.checked_mul(3 * pictures.max(1)));
    if values.is_none_or(|values| values > MOST_VALUES) {
        bail!("{pictures} pictures of {image_px}×{image_px} pixels do not fit into one file");
    }
    Ok(())
}

/// Writes images of all combinations of a vocabulary as a labelled matrix, held-out combinations framed.
pub(crate) fn write_matrix(
    path: &Path,
    images: &Tensor,
    vocabulary: &Vocabulary,
    held_out: &BTreeSet<Combination>,
    title: &str,
) -> Result<()> {
    let combinations: Vec<Combination> = vocabulary.combinations().collect();
    let is_held_out = |place: usize| held_out.contains(&combinations[place]);
    let meaning = format!("framed: {}s that no training image shows", vocabulary.noun());
    let matrix = Matrix {
        vocabulary,
        per_combination: 1,
        row_label: &|name, _| name.to_owned(),
        title: Some(title),
        framed: (!held_out.is_empty()).then_some((&is_held_out, &meaning)),
    };
    write_png(path, &matrix.bands(images, PixelRange::Symmetric)?, &[("Description", title)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_pictures_than_memory_are_refused() {
        check_fits(50, 32).unwrap();
        check_fits(413 * 674, 16).unwrap();
        for (pictures, px) in [(413 * 674, 64), (1, 1 << 15), (2, usize::MAX), (usize::MAX / 3, 2)] {
            assert!(check_fits(pictures, px).is_err(), "{pictures} of {px}");
        }
    }
}
