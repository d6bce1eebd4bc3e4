//! What a classifier is for, and the sizes that follow from it.

use cccm_labels::LabelKind;
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// Channels of the first stage; every stage that halves the image doubles them, up to [`MAX_CHANNELS`].
const FIRST_CHANNELS: usize = 32;
const MAX_CHANNELS: usize = 128;
/// Side of the last map, at most: small enough to flatten, large enough to tell where strokes are.
const LAST_PX: usize = 4;

/// What a classifier is for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClassifierConfig {
    /// Side of the images, at least 8.
    pub image_px: usize,
    /// The label kinds to name, one head each; at least one, none of them empty.
    pub labels: Vec<LabelKind>,
}

impl ClassifierConfig {
    /// Checks every field.
    ///
    /// # Errors
    /// [`Error::InvalidConfig`] for the first value out of range.
    pub fn validate(&self) -> Result<()> {
        if self.image_px < 2 * LAST_PX {
            return Err(Error::invalid("image_px", self.image_px, "at least 8"));
        }
        if self.labels.is_empty() || self.labels.iter().any(|kind| kind.names.is_empty()) {
            return Err(Error::invalid("labels", "empty", "at least one kind, each with a label"));
        }
        Ok(())
    }

    /// Input and output channels of every stage; each but the first halves the image.
    pub(super) fn stages(&self) -> Vec<(usize, usize)> {
        let mut stages = vec![(3, FIRST_CHANNELS)];
        let (mut px, mut channels) = (self.image_px, FIRST_CHANNELS);
        while px > LAST_PX {
            let wider = (2 * channels).min(MAX_CHANNELS);
            stages.push((channels, wider));
            (px, channels) = (px.div_ceil(2), wider);
        }
        stages
    }

    /// Values of the last stage's map.
    pub(super) fn flat(&self) -> usize {
        let halvings = self.stages().len() - 1;
        let px = (0..halvings).fold(self.image_px, |px, _| px.div_ceil(2));
        self.stages().last().map_or(0, |(_, channels)| channels * px * px)
    }
}
