//! All combinations of labels in one picture.

use anyhow::{Result, ensure};
use candle_core::Tensor;
use cccm_labels::{Page, Vocabulary};
use image::RgbImage;

use crate::bands::{Bands as _, Below};
use crate::grid::{GridBands, GridPicture, Marks};
use crate::pixels::PixelRange;

/// Images of all combinations of a vocabulary: labels of the first kind from top to bottom, those of the second from left to right,
/// and for each combination of further kinds a page of its own below the others.
pub struct Matrix<'a> {
    /// The labels.
    pub vocabulary: &'a Vocabulary,
    /// Images of each combination, which stand below one another; at least 1.
    pub per_combination: usize,
    /// What the row with the `n`-th image of each combination is called, from the name of its label of the first kind.
    pub row_label: &'a dyn Fn(&str, usize) -> String,
    /// A line above every page.
    pub title: Option<&'a str>,
    /// Which images are framed, as the places that they have in the list, and what that means.
    pub framed: Option<(&'a dyn Fn(usize) -> bool, &'a str)>,
}

impl Matrix<'_> {
    /// The picture.
    /// - `images`: `(n, 3, height, width)`, spanning `range`: those of the first combination, of the second and so on, in the order
    ///   of [`Vocabulary::combinations`]
    ///
    /// # Errors
    /// When there are not as many images of each combination, or they are not in colour.
    pub fn draw(&self, images: &Tensor, range: PixelRange) -> Result<RgbImage> {
        Ok(self.bands(images, range)?.whole())
    }

    /// [`Self::draw`] band by band.
    ///
    /// # Errors
    /// As [`Self::draw`].
    pub fn bands(&self, images: &Tensor, range: PixelRange) -> Result<Below<GridBands>> {
        let (got, want) =
            (images.dim(0)?, self.vocabulary.combination_count().saturating_mul(self.per_combination));
        ensure!(got == want && got > 0, "{got} images for {want} places of a matrix");
        let pages = self.vocabulary.pages();
        Ok(Below(pages.iter().map(|page| self.page(page, images, range)).collect::<Result<_>>()?))
    }

    fn page(&self, page: &Page, images: &Tensor, range: PixelRange) -> Result<GridBands> {
        // From rows of combinations to rows of images.
        let rows = page.combinations.chunks(page.columns.len());
        let places: Vec<usize> = rows
            .flat_map(|row| {
                let of_row =
                    |n| row.iter().map(move |at| self.vocabulary.place_of(at) * self.per_combination + n);
                (0..self.per_combination).flat_map(of_row)
            })
            .collect();
        let row_labels = page
            .rows
            .iter()
            .flat_map(|name| (0..self.per_combination).map(move |n| (self.row_label)(name, n)));
        let row_labels: Vec<String> = row_labels.collect();
        let marks = self.framed.map(|(is_framed, meaning)| Marks {
            images: (0..places.len()).filter(|at| is_framed(places[*at])).collect(),
            meaning: meaning.to_owned(),
        });
        let title = match (self.title, &page.title) {
            (Some(title), Some(of_page)) => Some(format!("{title}, {of_page}")),
            (title, of_page) => title.map(str::to_owned).or_else(|| of_page.clone()),
        };
        let has_names = row_labels.iter().any(|name| !name.is_empty());
        let picture = GridPicture {
            columns: page.columns.len(),
            column_labels: page.columns.clone(),
            row_labels: if has_names { row_labels } else { Vec::new() },
            title,
            marks,
        };
        picture.bands_of(images, &places, range)
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device};
    use cccm_labels::LabelKind;

    use super::*;

    fn vocabulary(counts: &[usize]) -> Vocabulary {
        let kind = |(place, count): (usize, &usize)| {
            LabelKind::new(cccm_labels::usual_kind(place), (0..*count).map(|label| format!("{place}{label}")))
        };
        Vocabulary::new(counts.iter().enumerate().map(kind)).unwrap()
    }

    fn levels(count: usize) -> Tensor {
        let levels = Tensor::arange(0u32, count as u32, &Device::Cpu).unwrap().to_dtype(DType::F32).unwrap();
        let levels = (levels / 255.0).unwrap().reshape((count, 1, 1, 1)).unwrap();
        levels.broadcast_as((count, 3, 8, 8)).unwrap().contiguous().unwrap()
    }

    fn draw(counts: &[usize], per_combination: usize) -> Result<RgbImage> {
        let vocabulary = vocabulary(counts);
        let row_label = &|name: &str, _: usize| name.to_owned();
        let matrix =
            Matrix { vocabulary: &vocabulary, per_combination, row_label, title: None, framed: None };
        matrix.draw(&levels(vocabulary.combination_count() * per_combination), PixelRange::Unit)
    }

    /// The levels of the cells, row by row: what is neither paper nor ink, first come.
    fn cells(picture: &RgbImage, count: usize) -> Vec<u8> {
        let mut seen = Vec::new();
        for pixel in picture.pixels().filter(|pixel| pixel[0] < count as u8 && pixel[0] == pixel[1]) {
            if !seen.contains(&pixel[0]) {
                seen.push(pixel[0]);
            }
        }
        seen
    }

    #[test]
    fn pairs_are_in_their_order() -> Result<()> {
        assert_eq!(cells(&draw(&[2, 3], 1)?, 6), [0, 1, 2, 3, 4, 5]);
        assert_eq!(cells(&draw(&[4], 1)?, 4), [0, 1, 2, 3]);
        Ok(())
    }

    #[test]
    fn images_of_a_combination_stand_below_one_another() -> Result<()> {
        assert_eq!(cells(&draw(&[2, 2], 2)?, 8), [0, 2, 1, 3, 4, 6, 5, 7]);
        Ok(())
    }

    #[test]
    fn further_kinds_have_pages() -> Result<()> {
        let picture = draw(&[2, 2, 2], 1)?;
        assert_eq!(cells(&picture, 8), [0, 2, 4, 6, 1, 3, 5, 7]);
        assert!(picture.height() > draw(&[2, 2], 1)?.height() * 2);
        Ok(())
    }

    #[test]
    fn too_few_images_are_refused() {
        let vocabulary = vocabulary(&[2, 2]);
        let row_label = &|name: &str, _: usize| name.to_owned();
        let matrix =
            Matrix { vocabulary: &vocabulary, per_combination: 1, row_label, title: None, framed: None };
        let error = matrix.draw(&levels(3), PixelRange::Unit).unwrap_err().to_string();
        assert_eq!(error, "3 images for 4 places of a matrix");
    }
}
