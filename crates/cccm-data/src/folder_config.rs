//! How files of images become a dataset.

use cccm_labels::Vocabulary;

use crate::{CombinationFilter, Fitting, OnBadImage, Subfolders};

/// How files of images become a dataset.
#[derive(Clone, Debug)]
pub struct FolderConfig {
    /// The labels that the data have; [`discover`](crate::discover()) finds them in plain cases.
    pub vocabulary: Vocabulary,
    /// Side of the squares that images become, in pixels.
    pub image_px: usize,
    /// How they become squares.
    pub fitting: Fitting,
    /// What is done about folders in folders.
    pub subfolders: Subfolders,
    /// Which combinations are used. Those it names have to be there.
    pub combinations: CombinationFilter,
    /// What to do about images whose headers cannot be read.
    pub on_bad_image: OnBadImage,
}

impl FolderConfig {
    /// All images, as published: stretched, sub-folders passed over, and every bad one an error.
    /// - `vocabulary`, `image_px`: as the fields
    pub fn new(vocabulary: Vocabulary, image_px: usize) -> Self {
        Self {
            vocabulary,
            image_px,
            fitting: Fitting::default(),
            subfolders: Subfolders::default(),
            combinations: CombinationFilter::all(),
            on_bad_image: OnBadImage::Stop,
        }
    }
}
