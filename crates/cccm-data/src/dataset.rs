//! What a loader needs of a source of labelled images.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Combination, Error, Result, Vocabulary, digest::DatasetDigest};

/// Labelled images of one size, found by index. Loading takes `&self`, so that threads share one.
pub trait Dataset: Send + Sync {
    /// The labels that combinations index.
    fn vocabulary(&self) -> &Vocabulary;

    /// Side of the square images, in pixels, at least 1.
    fn image_px(&self) -> usize;

    /// How many images there are.
    fn len(&self) -> usize;

    /// Whether there are none. The constructors of this crate's datasets refuse that.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The labels of image `index`, known without loading it.
    ///
    /// # Panics
    /// When `index` is not below [`len`](Dataset::len), as a slice does.
    fn combination(&self, index: usize) -> Combination;

    /// Writes image `index` to `out`: `(3, image_px, image_px)`, RGB, in `[-1, 1]`.
    ///
    /// # Errors
    /// [`Error::BufferLength`] when `out` does not hold one image, and whatever hinders decoding.
    ///
    /// # Panics
    /// When `index` is not below [`len`](Dataset::len).
    fn load(&self, index: usize, out: &mut [f32]) -> Result<()>;

    /// Like [`load`](Dataset::load), but as training sees the image, which may cut out another window each
    /// time: see [`Resize::RandomCrop`](crate::Resize::RandomCrop). By default, [`load`](Dataset::load).
    /// - `window`: where to cut, 0 at the top or left end, 1 at the other
    ///
    /// # Errors
    /// As [`load`](Dataset::load).
    fn load_window(&self, index: usize, _window: f64, out: &mut [f32]) -> Result<()> {
        self.load(index, out)
    }

    /// Where image `index` comes from, such as the path of its file, for messages.
    fn describe(&self, index: usize) -> String;

    /// SHA-256, in hex, of everything that decides which images a run sees: labels, size, and for each
    /// image in order its combination and its identity. A run goes on only with data of equal digest.
    ///
    /// By default, the text of [`describe`](Dataset::describe) is an image's identity. Override this method
    /// if the text may change while the images stay the same, or stay the same while the images change.
    ///
    /// # Errors
    /// What hinders reading, for datasets that have to read.
    fn digest(&self) -> Result<String> {
        let mut digest = DatasetDigest::new("described images 1", self.vocabulary(), self.image_px());
        for index in 0..self.len() {
            digest.combination(self.combination(index));
            digest.bytes(self.describe(index).as_bytes());
        }
        Ok(digest.finish())
    }
}

/// What to do about an image that cannot be decoded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnBadImage {
    /// Return an error that names it.
    #[default]
    Stop,
    /// Warn once, count it, and go on without it.
    Skip,
}

/// Number of bad images that get a warning each: a folder that disappears during a run would fill the log.
pub(crate) const MOST_WARNINGS: usize = 20;

pub(crate) fn warn_of_bad_image(dataset: &dyn Dataset, index: usize, error: &Error) {
    let image = dataset.describe(index);
    tracing::warn!(image, error = error as &dyn std::error::Error, "going on without an image");
}

/// How many images each combination has; combinations without images are absent.
pub fn combination_counts(dataset: &dyn Dataset) -> BTreeMap<Combination, usize> {
    let mut counts = BTreeMap::new();
    for index in 0..dataset.len() {
        *counts.entry(dataset.combination(index)).or_insert(0) += 1;
    }
    counts
}

/// Checks the side of the images a dataset is asked for.
pub(crate) fn check_image_px(image_px: usize) -> Result<()> {
    if (1..=MAX_IMAGE_PX).contains(&image_px) {
        return Ok(());
    }
    Err(Error::InvalidConfig { field: "image_px", got: image_px.to_string(), want: "between 1 and 16384" })
}

/// Far beyond what these networks take; keeps `3 * px * px` far from overflowing.
const MAX_IMAGE_PX: usize = 16_384;

/// Checks that `out` holds one image.
pub(crate) fn check_buffer(image_px: usize, out: &[f32]) -> Result<()> {
    if out.len() == 3 * image_px * image_px {
        return Ok(());
    }
    Err(Error::BufferLength { image_px, got: out.len() })
}
