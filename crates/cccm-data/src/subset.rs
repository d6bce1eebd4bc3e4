//! Some of the images of a dataset, such as those kept apart to test with.

use std::collections::BTreeMap;
use std::sync::Arc;

use rayon::prelude::*;

use crate::dataset::{MOST_WARNINGS, warn_of_bad_image};
use crate::{Combination, Dataset, Error, Result, Vocabulary, digest::DatasetDigest};

/// Some images of another dataset, in a given order.
#[derive(Clone)]
pub struct Subset {
    dataset: Arc<dyn Dataset>,
    images: Vec<usize>,
}

impl Subset {
    /// The images of these indices.
    ///
    /// # Errors
    /// [`Error::InvalidConfig`] when an index is not below the dataset's length, [`Error::EmptyDataset`] for none.
    pub fn new(dataset: Arc<dyn Dataset>, images: Vec<usize>) -> Result<Self> {
        if images.is_empty() {
            return Err(Error::EmptyDataset);
        }
        match images.iter().find(|index| **index >= dataset.len()) {
            Some(index) => Err(Error::InvalidConfig {
                field: "images",
                got: format!("index {index}"),
                want: "below the number of images",
            }),
            None => Ok(Self { dataset, images }),
        }
    }

    /// The images that can be decoded, and how many cannot: each of these is warned about. Every image is decoded once, on the
    /// caller's rayon pool.
    ///
    /// # Errors
    /// [`Error::EmptyDataset`] when there are none.
    pub fn readable(dataset: Arc<dyn Dataset>) -> Result<(Self, usize)> {
        let px = dataset.image_px();
        let look = |index: usize| {
            let mut image = vec![0.0; 3 * px * px];
            (index, dataset.load(index, &mut image))
        };
        let looked: Vec<_> = (0..dataset.len()).into_par_iter().map(look).collect();
        let (mut images, mut bad) = (Vec::new(), 0);
        for outcome in looked {
            match outcome {
                (index, Ok(())) => images.push(index),
                (index, Err(error)) => {
                    bad += 1;
                    if bad <= MOST_WARNINGS {
                        warn_of_bad_image(&*dataset, index, &error);
                    }
                }
            }
        }
        Ok((Self::new(dataset, images)?, bad))
    }

    /// At most `per_combination` images of every combination, spread evenly over those it has.
    ///
    /// # Errors
    /// [`Error::EmptyDataset`] when there are none, or `per_combination` is 0.
    pub fn balanced(dataset: Arc<dyn Dataset>, per_combination: usize) -> Result<Self> {
        let images = by_combination(&*dataset).into_values().flat_map(|images| {
            let kept = images.len().min(per_combination);
            (0..kept).map(move |n| images[n * images.len() / kept]).collect::<Vec<_>>()
        });
        let images = images.collect();
        Self::new(dataset, images)
    }

    /// Splits the images into `(rest, nth)`: every `nth` image of each combination goes into the second part.
    /// A combination with fewer images gives its last one, a combination with a single image gives none.
    ///
    /// # Errors
    /// [`Error::NoneKeptApart`] when every combination has a single image, [`Error::EmptyDataset`] when `nth`
    /// is below 2.
    pub fn split(dataset: Arc<dyn Dataset>, nth: usize) -> Result<(Self, Self)> {
        let (mut rest, mut apart) = (Vec::new(), Vec::new());
        for images in by_combination(&*dataset).into_values() {
            let nth = if images.len() > 1 { nth.min(images.len()) } else { usize::MAX };
            for (place, index) in images.into_iter().enumerate() {
                let is_apart = nth > 0 && place % nth == nth - 1;
                if is_apart { &mut apart } else { &mut rest }.push(index);
            }
        }
        if apart.is_empty() && nth > 1 {
            return Err(Error::NoneKeptApart { noun: dataset.vocabulary().noun() });
        }
        Ok((Self::new(Arc::clone(&dataset), rest)?, Self::new(dataset, apart)?))
    }
}

fn by_combination(dataset: &dyn Dataset) -> BTreeMap<Combination, Vec<usize>> {
    let mut combinations = BTreeMap::<Combination, Vec<usize>>::new();
    for index in 0..dataset.len() {
        combinations.entry(dataset.combination(index)).or_default().push(index);
    }
    combinations
}

impl Dataset for Subset {
    fn vocabulary(&self) -> &Vocabulary {
        self.dataset.vocabulary()
    }

    fn image_px(&self) -> usize {
        self.dataset.image_px()
    }

    fn len(&self) -> usize {
        self.images.len()
    }

    fn combination(&self, index: usize) -> Combination {
        self.dataset.combination(self.images[index])
    }

    fn load(&self, index: usize, out: &mut [f32]) -> Result<()> {
        self.dataset.load(self.images[index], out)
    }

    fn load_window(&self, index: usize, window: f64, out: &mut [f32]) -> Result<()> {
        self.dataset.load_window(self.images[index], window, out)
    }

    fn describe(&self, index: usize) -> String {
        self.dataset.describe(self.images[index])
    }

    /// Covers the digest of the whole dataset and the indices of these images.
    fn digest(&self) -> Result<String> {
        let mut digest = DatasetDigest::new("subset 1", self.vocabulary(), self.image_px());
        digest.bytes(self.dataset.digest()?.as_bytes());
        for image in &self.images {
            digest.number(*image as u64);
        }
        Ok(digest.finish())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{CombinationFilter, Shapes, ShapesConfig, combination_counts};

    fn shapes(images_per_combination: usize) -> Arc<dyn Dataset> {
        let config = ShapesConfig {
            image_px: 8,
            images_per_combination,
            seed: 0,
            sized: false,
            combinations: CombinationFilter::all(),
        };
        Arc::new(Shapes::new(&config).unwrap())
    }

    #[test]
    fn it_shows_the_images_it_was_given() -> Result<()> {
        let whole = shapes(3);
        let some = Subset::new(Arc::clone(&whole), vec![5, 2])?;
        assert_eq!(
            (some.len(), some.combination(0), some.combination(1)),
            (2, whole.combination(5), whole.combination(2))
        );
        let (mut theirs, mut ours) = (vec![0.0; 192], vec![0.0; 192]);
        whole.load(5, &mut theirs)?;
        some.load(0, &mut ours)?;
        assert_eq!(theirs, ours);
        assert_ne!(some.digest()?, Subset::new(Arc::clone(&whole), vec![2, 5])?.digest()?);
        assert!(Subset::new(Arc::clone(&whole), vec![whole.len()]).is_err());
        Ok(())
    }

    #[test]
    fn balanced_takes_as_many_of_each_combination() -> Result<()> {
        let some = Subset::balanced(shapes(10), 3)?;
        assert!(combination_counts(&some).values().all(|count| *count == 3));
        assert_eq!(&some.images[..3], [0, 3, 6]);
        assert_eq!(Subset::balanced(shapes(2), 3)?.len(), shapes(2).len());
        assert!(Subset::balanced(shapes(2), 0).is_err());
        Ok(())
    }

    #[test]
    fn a_split_shares_nothing_and_loses_nothing() -> Result<()> {
        let (rest, apart) = Subset::split(shapes(10), 5)?;
        assert!(combination_counts(&rest).values().all(|count| *count == 8));
        assert!(combination_counts(&apart).values().all(|count| *count == 2));
        let mut all = [rest.images, apart.images].concat();
        all.sort_unstable();
        assert_eq!(all, (0..shapes(10).len()).collect::<Vec<_>>());
        let (rest, apart) = Subset::split(shapes(3), 10)?;
        assert_eq!((rest.len(), apart.len()), (36 * 2, 36));
        assert!(Subset::split(shapes(10), 1).is_err() && Subset::split(shapes(1), 10).is_err());
        Ok(())
    }
}
