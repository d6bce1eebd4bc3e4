//! Sampled images.

use std::path::Path;

use anyhow::Context;
use candle_core::{Device, Tensor};
use cccm_labels::{Combination, Vocabulary};
use cccm_render::{
    Bands as _, Below, GridBands, GridPicture, Matrix, PixelRange, encode_png, rgb_image, write_png,
};
use image::RgbImage;

use crate::error::Result;

/// Sampled images, and the labels that each of them was sampled for.
#[derive(Clone, Debug)]
pub struct Images {
    tensor: Tensor,
    labels: Vec<Combination>,
    vocabulary: Vocabulary,
    /// What of the vocabulary was asked for.
    part: Vocabulary,
    per_combination: usize,
}

impl Images {
    /// - `tensor`: `(n, 3, px, px)`, about `[-1, 1]`
    /// - `labels`: per image its combination; `part`: the vocabulary of those that were asked for
    /// - `per_combination`: images of each combination, which follow one another
    pub(crate) fn new(
        tensor: &Tensor,
        labels: Vec<Combination>,
        (vocabulary, part): (&Vocabulary, Vocabulary),
        per_combination: usize,
    ) -> Result<Self> {
        let tensor = tensor.to_device(&Device::Cpu).context("cannot read the images from the device")?;
        Ok(Self { tensor, labels, vocabulary: vocabulary.clone(), part, per_combination })
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// All of them, `(n, 3, px, px)`, on the CPU, about `[-1, 1]`, RGB.
    pub fn tensor(&self) -> &Tensor {
        &self.tensor
    }

    /// The labels that an image was sampled for, by name, one of every kind.
    pub fn labels(&self, image: usize) -> Vec<&str> {
        let names = self.labels[image].iter().zip(self.vocabulary.kinds());
        names.map(|(index, kind)| kind.names.get(*index as usize).map_or("", String::as_str)).collect()
    }

    /// One image as 8-bit pixels.
    ///
    /// # Errors
    /// When there is no such image.
    pub fn rgb8(&self, image: usize) -> Result<RgbImage> {
        let tensor = self.tensor.get(image).with_context(|| format!("there are {} images", self.len()))?;
        Ok(rgb_image(&tensor, PixelRange::Symmetric)?)
    }

    /// One image as a PNG file's bytes.
    ///
    /// # Errors
    /// When there is no such image.
    pub fn png(&self, image: usize) -> Result<Vec<u8>> {
        Ok(encode_png(&self.rgb8(image)?, &[])?)
    }

    /// All of them as one labelled picture: a row for every value of the first kind of labels and a column for every value of the
    /// second, with a page for each combination of further kinds; or, of several images for each combination, a row for every
    /// combination.
    ///
    /// # Errors
    /// When there are no images.
    pub fn grid(&self) -> Result<RgbImage> {
        Ok(self.bands()?.whole())
    }

    fn bands(&self) -> Result<Below<GridBands>> {
        if self.per_combination > 1 {
            let firsts = (0..self.len()).step_by(self.per_combination);
            let row_labels = firsts.map(|image| self.labels(image).join(" ")).collect();
            let grid = GridPicture { columns: self.per_combination, row_labels, ..GridPicture::default() };
            return Ok(Below(vec![grid.bands(&self.tensor, PixelRange::Symmetric)?]));
        }
        let matrix = Matrix {
            vocabulary: &self.part,
            per_combination: 1,
            row_label: &|name, _| name.to_owned(),
            title: None,
            framed: None,
        };
        Ok(matrix.bands(&self.tensor, PixelRange::Symmetric)?)
    }

    /// Writes a PNG file with all folders above it: of one image that image, of several their [`Self::grid`].
    ///
    /// # Errors
    /// When there are no images, and those of the file system.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        Ok(if self.len() == 1 {
            write_png(path, &self.rgb8(0)?, &[])
        } else {
            write_png(path, &self.bands()?, &[])
        }?)
    }
}
