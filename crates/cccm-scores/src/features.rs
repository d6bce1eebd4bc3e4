//! What images are compared by.

use anyhow::Result;
use candle_core::Tensor;
use cccm_eval::{Classifier, Inception};

/// A network that describes images.
pub trait Features {
    /// Its name, as scores record it.
    fn name(&self) -> &'static str;

    /// `(n, features)`, `f32`, of images `(n, 3, px, px)` in `[-1, 1]`.
    ///
    /// # Errors
    /// When candle fails.
    fn of(&self, images: &Tensor) -> Result<Tensor>;
}

impl Features for Classifier {
    fn name(&self) -> &'static str {
        "classifier"
    }

    fn of(&self, images: &Tensor) -> Result<Tensor> {
        Ok(self.answer(images)?.features)
    }
}

impl Features for Inception {
    fn name(&self) -> &'static str {
        "inception"
    }

    fn of(&self, images: &Tensor) -> Result<Tensor> {
        Ok(self.features(images)?)
    }
}
