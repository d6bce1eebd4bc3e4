//! In which order an epoch visits the images.

use std::collections::BTreeMap;

use rand::{Rng, seq::SliceRandom};
use serde::{Deserialize, Serialize};

use crate::{
    Combination, Dataset,
    random::{self, Purpose},
};

/// In which order an epoch visits the images. An epoch is as many draws as there are images.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sampling {
    /// Every combination equally often: images are drawn with replacement, each with weight one over the
    /// number of images of its combination.
    #[default]
    ClassBalanced,
    /// Every image once, in random order.
    Shuffled,
    /// Every image once, in the order of the dataset.
    Sequential,
}

/// Draws epochs. The order of an epoch depends on the dataset's combinations, the seed and its number only.
#[derive(Debug)]
pub(crate) struct Sampler {
    sampling: Sampling,
    seed: u64,
    len: usize,
    groups: Vec<Vec<usize>>,
}

impl Sampler {
    pub(crate) fn new(dataset: &dyn Dataset, sampling: Sampling, seed: u64) -> Self {
        let groups = images_by_combination(dataset).into_values().collect();
        Self { sampling, seed, len: dataset.len(), groups }
    }

    /// The images of epoch number `epoch`, counted from 0.
    pub(crate) fn epoch(&self, epoch: usize) -> Vec<usize> {
        let mut rng = random::stream(self.seed, Purpose::EpochOrder, epoch as u64);
        match self.sampling {
            // Weighted draws in two even ones: the combination, then an image of it.
            Sampling::ClassBalanced => (0..self.len)
                .map(|_| {
                    let group = &self.groups[rng.random_range(0..self.groups.len())];
                    group[rng.random_range(0..group.len())]
                })
                .collect(),
            Sampling::Shuffled => {
                let mut order: Vec<usize> = (0..self.len).collect();
                order.shuffle(&mut rng);
                order
            }
            Sampling::Sequential => (0..self.len).collect(),
        }
    }
}

/// The images of each combination that has any, in the order of the dataset.
pub(crate) fn images_by_combination(dataset: &dyn Dataset) -> BTreeMap<Combination, Vec<usize>> {
    let mut images = BTreeMap::<Combination, Vec<usize>>::new();
    for index in 0..dataset.len() {
        images.entry(dataset.combination(index)).or_default().push(index);
    }
    images
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Result, Vocabulary};

    /// 90 images of one combination, then 10 of another.
    struct Skewed(Vocabulary);

    impl Dataset for Skewed {
        fn vocabulary(&self) -> &Vocabulary {
            &self.0
        }
        fn image_px(&self) -> usize {
            1
        }
        fn len(&self) -> usize {
            100
        }
        fn combination(&self, index: usize) -> Combination {
            Combination::from([u32::from(index >= 90), 0])
        }
        fn load(&self, _: usize, _: &mut [f32]) -> Result<()> {
            Ok(())
        }
        fn describe(&self, index: usize) -> String {
            index.to_string()
        }
    }

    fn sampler(sampling: Sampling, seed: u64) -> Sampler {
        Sampler::new(&Skewed(Vocabulary::of_pairs(["a", "b"], ["x"]).unwrap()), sampling, seed)
    }

    #[test]
    fn balanced_draws_give_every_pair_and_image_its_share() {
        let sampler = sampler(Sampling::ClassBalanced, 1);
        let mut counts = [0; 100];
        (0..1000).flat_map(|epoch| sampler.epoch(epoch)).for_each(|index| counts[index] += 1);
        // 100,000 draws: an image of the large combination expects 556 of them, one of the small combination 5,000;
        // six standard deviations are 141 and 413.
        for (index, &count) in counts.iter().enumerate() {
            let (expected, slack) = if index < 90 { (556, 141) } else { (5000, 413) };
            assert!(i32::abs(count - expected) < slack, "image {index} was drawn {count} times");
        }
        let small_combination: i32 = counts[90..].iter().sum();
        assert!((small_combination - 50_000).abs() < 950, "{small_combination}");
    }

    #[test]
    fn shuffled_visits_each_image_once() {
        let order = sampler(Sampling::Shuffled, 1).epoch(3);
        let mut sorted = order.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, (0..100).collect::<Vec<_>>());
        assert_ne!(order, sorted);
    }

    #[test]
    fn an_epoch_depends_on_seed_and_number_alone() {
        for sampling in [Sampling::ClassBalanced, Sampling::Shuffled] {
            let (one, same) = (sampler(sampling, 1), sampler(sampling, 1));
            one.epoch(0);
            assert_eq!(one.epoch(5), same.epoch(5));
            assert_ne!(one.epoch(5), one.epoch(6));
            assert_ne!(one.epoch(5), sampler(sampling, 2).epoch(5));
        }
        assert_eq!(sampler(Sampling::Sequential, 1).epoch(5), (0..100).collect::<Vec<_>>());
    }
}
