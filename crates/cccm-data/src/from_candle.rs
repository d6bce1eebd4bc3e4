//! Digits that `candle-datasets` has loaded.

use candle_core::{DType, Tensor};
use candle_datasets::vision;

use crate::{Digits, Error, MnistSplit, Result};

impl Digits {
    /// Digits from the MNIST tensors of `candle-datasets`: images `(count, 784)` in `[0, 1]`, labels
    /// `(count,)`.
    ///
    /// # Errors
    /// [`Error::Candle`] for tensors of other shapes, [`Error::Digits`] for labels beyond 9.
    pub fn from_candle(dataset: &vision::Dataset, split: MnistSplit) -> Result<Self> {
        let (images, labels) = match split {
            MnistSplit::Train => (&dataset.train_images, &dataset.train_labels),
            MnistSplit::Test => (&dataset.test_images, &dataset.test_labels),
        };
        let (count, _) = images.dims2()?;
        let images = images.reshape((count, Self::PX * Self::PX))?.to_dtype(DType::F32)?;
        let pixels = (images * 255.0)?.round()?.to_dtype(DType::U8)?.flatten_all()?.to_vec1()?;
        let classes = labels.to_dtype(DType::U8)?.to_vec1::<u8>()?;
        if classes.len() != count {
            let problem = format!("{} labels for {count} pictures", classes.len());
            return Err(Error::Digits { name: "the labels".to_owned(), problem, source: None });
        }
        Self::new(pixels, classes, "the labels")
    }
}
