//! Digits that `candle-datasets` has loaded.

use candle_core::DType;
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

#[cfg(test)]
mod tests {
    use candle_core::{Device, Tensor};

    use super::*;

    fn dataset(pixels: usize, labels: &[u8]) -> vision::Dataset {
        let images = Tensor::full(93.0_f32 / 255.0, (2, pixels), &Device::Cpu).unwrap();
        let labels = Tensor::new(labels, &Device::Cpu).unwrap();
        let (train_images, train_labels) = (images.clone(), labels.clone());
        vision::Dataset { train_images, train_labels, test_images: images, test_labels: labels, labels: 10 }
    }

    #[test]
    fn levels_and_labels_are_kept() -> Result<()> {
        let digits = Digits::from_candle(&dataset(784, &[3, 9]), MnistSplit::Train)?;
        assert_eq!((digits.len(), digits.class(1)), (2, 9));
        assert!(digits.pixels(1).iter().all(|&level| level == 93));
        Ok(())
    }

    #[test]
    fn tensors_that_are_no_digits_are_refused() {
        let refusal =
            |pixels, labels| Digits::from_candle(&dataset(pixels, labels), MnistSplit::Test).unwrap_err();
        assert!(matches!(refusal(3072, &[3, 9]), Error::Candle(_)));
        assert!(matches!(refusal(784, &[3]), Error::Digits { .. }));
        assert!(matches!(refusal(784, &[3, 10]), Error::Digits { .. }));
    }
}
