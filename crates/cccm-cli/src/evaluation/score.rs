//! From pictures to numbers.

use std::sync::Arc;

use anyhow::Result;
use candle_core::{Device, Tensor};
use cccm_data::{Dataset, Pair, Subset, Vocabulary, pair_counts};
use cccm_eval::{
    Accuracy, Copies, Distances, FeatureSet, Grouped, Nearest, frechet_distance, nearest_images,
};
use cccm_sched::Streams;
use indicatif::ProgressBar;
use serde::{Deserialize, Serialize};

use super::draw::Samples;
use super::features::Features;
use super::judge::{Judge, accuracy};
use super::real::{RealImages, load};

/// Real images that are in memory at once.
const LOADED_AT_ONCE: usize = 500;
/// Rows that a distance needs on either side.
const MIN_ROWS: usize = 8;
/// Seed of subsets and resamples, the same for every score so that scores differ by pictures alone.
const SEED: u64 = 0;

/// All scores of some pictures.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Scores {
    /// By the classifier.
    pub(crate) accuracy: Accuracy,
    /// On features, from real images of the same pairs; absent where there are too few of either.
    pub(crate) all: Option<Distances>,
    pub(crate) seen: Option<Distances>,
    pub(crate) unseen: Option<Distances>,
    /// Whether pictures of seen pairs are training images.
    pub(crate) copies: Option<Copies>,
}

/// Two numbers about pictures of all pairs.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Worth {
    /// Share of pictures whose every label is recognised.
    pub(crate) accuracy: f64,
    /// Fréchet distance from real images.
    pub(crate) frechet: f64,
}

/// What pictures are compared with.
pub(crate) struct Reference {
    real: RealImages,
    judge: Judge,
    features: Box<dyn Features>,
    set: FeaturesOfPairs,
}

/// Features, and the pair of each row.
struct FeaturesOfPairs {
    features: Tensor,
    pairs: Vec<Pair>,
    groups: Vec<usize>,
}

impl FeaturesOfPairs {
    fn new(features: Tensor, pairs: &[Pair], vocabulary: &Vocabulary) -> Self {
        let group = |pair: &Pair| pair.attribute as usize * vocabulary.objects.len() + pair.object as usize;
        Self { features, groups: pairs.iter().map(group).collect(), pairs: pairs.to_vec() }
    }

    fn as_set(&self) -> FeatureSet<'_> {
        FeatureSet { features: &self.features, groups: &self.groups }
    }

    /// The rows of some pairs; none if there are too few to compare.
    fn of(&self, keep: &dyn Fn(&Pair) -> bool) -> Result<Option<Self>> {
        let rows: Vec<usize> = (0..self.pairs.len()).filter(|row| keep(&self.pairs[*row])).collect();
        if rows.len() < MIN_ROWS {
            return Ok(None);
        }
        let index = Tensor::from_iter(rows.iter().map(|row| *row as u32), self.features.device())?;
        Ok(Some(Self {
            features: self.features.index_select(&index, 0)?,
            pairs: rows.iter().map(|row| self.pairs[*row]).collect(),
            groups: rows.iter().map(|row| self.groups[*row]).collect(),
        }))
    }
}

impl Reference {
    /// Looks at the real images.
    /// - `features`: what distances are computed on
    /// - `per_pair`: real images of each pair, at most
    pub(crate) fn new(
        real: RealImages,
        judge: Judge,
        features: Box<dyn Features>,
        per_pair: usize,
    ) -> Result<Self> {
        let images = Subset::balanced(Arc::clone(&real.train), per_pair)?;
        let mut parts = Vec::new();
        let all: Vec<usize> = (0..images.len()).collect();
        let bar = ProgressBar::new(all.len() as u64);
        for part in all.chunks(LOADED_AT_ONCE) {
            parts.push(features.of(&load(&images, part)?)?);
            bar.inc(part.len() as u64);
        }
        bar.finish_and_clear();
        let pairs: Vec<Pair> = all.iter().map(|index| images.pair(*index)).collect();
        let set = FeaturesOfPairs::new(Tensor::cat(&parts, 0)?, &pairs, images.vocabulary());
        Ok(Self { real, judge, features, set })
    }

    pub(crate) fn judge(&self) -> &Judge {
        &self.judge
    }

    /// Name of what distances are computed on.
    pub(crate) fn features(&self) -> &'static str {
        self.features.name()
    }

    /// Scores pictures.
    pub(crate) fn score(&self, samples: &Samples) -> Result<Scores> {
        let classifier = &self.judge.classifier;
        let answers = classifier.answer(&samples.images)?;
        let features = self.features.of(&samples.images)?;
        let set = FeaturesOfPairs::new(features, &samples.pairs, self.real.train.vocabulary());
        let is_unseen = |pair: &Pair| self.real.held_out.contains(pair);
        Ok(Scores {
            accuracy: accuracy(classifier.config(), &samples.pairs, &answers.labels, &self.real)?,
            all: self.distances(&set, &|_| true)?,
            seen: self.distances(&set, &|pair| !is_unseen(pair))?,
            unseen: self.distances(&set, &is_unseen)?,
            copies: self.copies(samples)?,
        })
    }

    /// What pictures are worth in two numbers, quickly.
    pub(crate) fn worth(&self, samples: &Samples) -> Result<Worth> {
        let classifier = &self.judge.classifier;
        let answered = classifier.answer(&samples.images)?.labels;
        let accuracy = accuracy(classifier.config(), &samples.pairs, &answered, &self.real)?.all.rate;
        let frechet = frechet_distance(&self.features.of(&samples.images)?, &self.set.features)?;
        Ok(Worth { accuracy, frechet })
    }

    /// Scores of real images that no classifier or generator learnt from, at most as many of each pair: what pictures can
    /// hope for.
    pub(crate) fn score_of_real(&self, per_pair: usize) -> Result<Scores> {
        let images = Subset::balanced(Arc::clone(&self.real.test), per_pair)?;
        let all: Vec<usize> = (0..images.len()).collect();
        let pairs = all.iter().map(|index| images.pair(*index)).collect();
        self.score(&Samples { pairs, images: load(&images, &all)?, secs: 0.0 })
    }

    fn distances(&self, set: &FeaturesOfPairs, keep: &dyn Fn(&Pair) -> bool) -> Result<Option<Distances>> {
        let (Some(ours), Some(real)) = (set.of(keep)?, self.set.of(keep)?) else { return Ok(None) };
        Ok(Some(Distances::new(ours.as_set(), real.as_set(), &Streams::new(SEED))?))
    }

    /// Pair by pair, so that the training images need not be in memory at once.
    fn copies(&self, samples: &Samples) -> Result<Option<Copies>> {
        let (mut ours, mut held_out) = (Vec::new(), Vec::new());
        for pair in
            pair_counts(&*self.real.train).into_keys().filter(|pair| !self.real.held_out.contains(pair))
        {
            let of_pair = |dataset: &dyn Dataset| -> Vec<usize> {
                (0..dataset.len()).filter(|index| dataset.pair(*index) == pair).collect()
            };
            let training = load(&*self.real.train, &of_pair(&*self.real.train))?;
            let test = of_pair(&*self.real.test);
            if !test.is_empty() {
                held_out.extend(nearest(&load(&*self.real.test, &test)?, &training)?);
            }
            let rows = samples.pairs.iter().enumerate().filter(|(_, of)| **of == pair);
            let rows: Vec<u32> = rows.map(|(row, _)| row as u32).collect();
            if !rows.is_empty() {
                let rows = Tensor::from_vec(rows.clone(), rows.len(), &Device::Cpu)?;
                ours.extend(nearest(&samples.images.index_select(&rows, 0)?, &training)?);
            }
        }
        Ok(Copies::count(&ours, &held_out))
    }
}

/// The nearest training image of each, all of one pair.
fn nearest(images: &Tensor, training: &Tensor) -> Result<Vec<Option<Nearest>>> {
    let groups = |images: &Tensor| Ok::<_, candle_core::Error>(vec![0; images.dim(0)?]);
    let (ours, theirs) = (groups(images)?, groups(training)?);
    let queries = Grouped { images, groups: &ours };
    Ok(nearest_images(queries, Grouped { images: training, groups: &theirs })?)
}
