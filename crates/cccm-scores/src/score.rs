//! From pictures to numbers.

use std::cell::OnceCell;
use std::sync::Arc;

use anyhow::Result;
use candle_core::{Device, Tensor};
use cccm_data::{Combination, Dataset, Subset, Vocabulary, combination_counts};
use cccm_eval::{
    Accuracy, Copies, Distances, Estimate, FeatureSet, Grouped, Nearest, frechet_distance, mean_distance,
    nearest_images,
};
use cccm_sched::Streams;
use serde::{Deserialize, Serialize};

use crate::comparing::{MIN_ROWS, SEED};
use crate::draw::Samples;
use crate::features::Features;
use crate::judge::{Judge, accuracy};
use crate::pixels::{PixelReferences, PixelScores, RealPixels};
use crate::progress::{Progress, Watch, Work};
use crate::real::{RealImages, load};

/// Real images that are in memory at once.
const LOADED_AT_ONCE: usize = 500;
/// All scores of some pictures.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Scores {
    /// By the classifier.
    pub accuracy: Accuracy,
    /// On features, from real images of the same combinations; absent where there are too few of either.
    pub all: Option<Distances>,
    /// On combinations of training images.
    pub seen: Option<Distances>,
    /// On all others.
    pub unseen: Option<Distances>,
    /// On pixels, from real images of the same combinations; nothing in scores of before this.
    #[serde(default)]
    pub pixels: PixelScores,
    /// Whether pictures of seen combinations are training images.
    pub copies: Option<Copies>,
    /// How near pictures are to real images of their own combination, in pixels; absent in scores of before this.
    #[serde(default)]
    pub to_nearest: Option<ToNearest>,
}

/// Distance from pictures to the nearest real image of their own combination: root mean square of the differences of pixels, which
/// span -1 to 1; its mean over the pictures.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct ToNearest {
    /// To images that the generator learnt from.
    pub seen: Option<Estimate>,
    /// To true pictures, which the generator did not see.
    pub unseen: Option<Estimate>,
}

/// The two scores that a search of timesteps uses, over pictures of all combinations.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Worth {
    /// Share of pictures whose every label is recognised.
    pub accuracy: f64,
    /// Fréchet distance from real images.
    pub frechet: f64,
}

/// What pictures are compared with.
pub struct Reference {
    real: RealImages,
    judge: Judge,
    features: Box<dyn Features>,
    set: FeaturesOfCombinations,
    pixels: PixelReferences,
    /// The nearest training image of each test image of the seen combinations, computed when it is first
    /// needed.
    held_out_nearest: OnceCell<Vec<Option<Nearest>>>,
}

/// Features, and the combination of each row.
struct FeaturesOfCombinations {
    features: Tensor,
    combinations: Vec<Combination>,
    groups: Vec<usize>,
}

impl FeaturesOfCombinations {
    fn new(features: Tensor, combinations: &[Combination], vocabulary: &Vocabulary) -> Self {
        let groups = combinations.iter().map(|combination| vocabulary.place_of(combination)).collect();
        Self { features, groups, combinations: combinations.to_vec() }
    }

    fn as_set(&self) -> FeatureSet<'_> {
        FeatureSet { features: &self.features, groups: &self.groups }
    }

    /// The rows of some combinations; none if there are too few to compare.
    fn of(&self, keep: &dyn Fn(&Combination) -> bool) -> Result<Option<Self>> {
        let rows: Vec<usize> =
            (0..self.combinations.len()).filter(|row| keep(&self.combinations[*row])).collect();
        if rows.len() < MIN_ROWS {
            return Ok(None);
        }
        let index = Tensor::from_iter(rows.iter().map(|row| *row as u32), self.features.device())?;
        Ok(Some(Self {
            features: self.features.index_select(&index, 0)?,
            combinations: rows.iter().map(|row| self.combinations[*row]).collect(),
            groups: rows.iter().map(|row| self.groups[*row]).collect(),
        }))
    }
}

impl Reference {
    /// Looks at the real images.
    /// - `features`: what distances are computed on
    /// - `per_pair`: real images of each combination, at most
    ///
    /// # Errors
    /// When the images cannot be read.
    pub fn new(
        real: RealImages,
        judge: Judge,
        features: Box<dyn Features>,
        per_combination: usize,
        watch: &Watch<'_>,
    ) -> Result<Self> {
        let images = Subset::balanced(Arc::clone(&real.train), per_combination)?;
        let all: Vec<usize> = (0..images.len()).collect();
        let combinations: Vec<Combination> = all.iter().map(|index| images.combination(*index)).collect();
        let (mut parts, mut pixels) =
            (Vec::new(), RealPixels::new(combination_counts(&images).len(), images.image_px()));
        let mut done = 0;
        for part in all.chunks(LOADED_AT_ONCE) {
            let loaded = load(&images, part)?;
            parts.push(features.of(&loaded)?);
            pixels.add(&loaded, &combinations[part[0]..][..part.len()])?;
            done += part.len();
            watch(Progress { work: Work::RealImages, done, total: all.len() });
        }
        let set = FeaturesOfCombinations::new(Tensor::cat(&parts, 0)?, &combinations, images.vocabulary());
        let pixels = pixels.reference(&|combination: &Combination| real.held_out.contains(combination))?;
        Ok(Self { real, judge, features, set, pixels, held_out_nearest: OnceCell::new() })
    }

    /// The classifier.
    pub fn judge(&self) -> &Judge {
        &self.judge
    }

    /// Name of what distances are computed on.
    pub fn features(&self) -> &'static str {
        self.features.name()
    }

    /// Scores pictures.
    ///
    /// # Errors
    /// When the real images cannot be read or candle fails.
    pub fn score(&self, samples: &Samples) -> Result<Scores> {
        self.score_with(samples, &self.nearest(samples)?)
    }

    /// Scores pictures.
    /// - `nearest`: of the pictures, as [`Self::nearest`] finds them
    ///
    /// # Errors
    /// As [`Self::score`].
    pub fn score_with(&self, samples: &Samples, nearest: &[Option<Nearest>]) -> Result<Scores> {
        let classifier = &self.judge.classifier;
        let answers = classifier.answer(&samples.images)?;
        let features = self.features.of(&samples.images)?;
        let set = FeaturesOfCombinations::new(features, &samples.combinations, self.real.train.vocabulary());
        let is_unseen = |combination: &Combination| self.is_unseen(combination);
        let of_seen =
            samples.combinations.iter().zip(nearest).filter(|(combination, _)| !is_unseen(combination));
        let seen_nearest: Vec<Option<Nearest>> = of_seen.map(|(_, nearest)| *nearest).collect();
        Ok(Scores {
            accuracy: accuracy(classifier.config(), &samples.combinations, &answers.labels, &self.real)?,
            all: self.distances(&set, &|_| true)?,
            seen: self.distances(&set, &|combination| !is_unseen(combination))?,
            unseen: self.distances(&set, &is_unseen)?,
            pixels: self.pixels(samples)?,
            copies: Copies::count(&seen_nearest, self.held_out_nearest()?),
            to_nearest: Some(self.to_nearest(samples, nearest)),
        })
    }

    /// Only the two scores of [`Worth`], which are quick to compute.
    ///
    /// # Errors
    /// When candle fails.
    pub fn worth(&self, samples: &Samples) -> Result<Worth> {
        let classifier = &self.judge.classifier;
        let answered = classifier.answer(&samples.images)?.labels;
        let accuracy = accuracy(classifier.config(), &samples.combinations, &answered, &self.real)?.all.rate;
        let frechet = frechet_distance(&self.features.of(&samples.images)?, &self.set.features)?;
        Ok(Worth { accuracy, frechet })
    }

    /// Scores of real images that the classifier did not learn from, at most `per_combination` of each
    /// combination: the best that generated pictures can reach.
    ///
    /// # Errors
    /// As [`Self::score`].
    pub fn score_of_real(&self, per_combination: usize) -> Result<Scores> {
        let images = Subset::balanced(Arc::clone(&self.real.test), per_combination)?;
        let all: Vec<usize> = (0..images.len()).collect();
        let combinations = all.iter().map(|index| images.combination(*index)).collect();
        let samples = Samples { combinations, images: load(&images, &all)?, secs: 0.0 };
        // Not among the test images, where each image would find itself.
        let nearest = nearest_to(&*self.real.train, &samples)?;
        self.score_with(&samples, &nearest)
    }

    fn distances(
        &self,
        set: &FeaturesOfCombinations,
        keep: &dyn Fn(&Combination) -> bool,
    ) -> Result<Option<Distances>> {
        let (Some(ours), Some(real)) = (set.of(keep)?, self.set.of(keep)?) else { return Ok(None) };
        Ok(Some(Distances::new(ours.as_set(), real.as_set(), &Streams::new(SEED))?))
    }

    fn pixels(&self, samples: &Samples) -> Result<PixelScores> {
        let (held_out, vocabulary) = (&self.real.held_out, self.real.train.vocabulary());
        self.pixels.score(&samples.images, &samples.combinations, vocabulary, &|combination: &Combination| {
            held_out.contains(combination)
        })
    }

    /// The nearest real image of the same combination for each picture, with its index for
    /// [`Self::real_images`]. Pictures of seen combinations are compared with all images that generators
    /// learn from.
    ///
    /// # Errors
    /// When the real images cannot be read.
    pub fn nearest(&self, samples: &Samples) -> Result<Vec<Option<Nearest>>> {
        nearest_to(&*self.real.learnt, samples)
    }

    /// Some of the real images that [`Self::nearest`] finds.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn real_images(&self, indices: &[usize]) -> Result<Tensor> {
        load(&*self.real.learnt, indices)
    }

    /// Whether generators did not see the combination.
    pub fn is_unseen(&self, combination: &Combination) -> bool {
        self.real.held_out.contains(combination)
    }

    fn held_out_nearest(&self) -> Result<&[Option<Nearest>]> {
        if let Some(found) = self.held_out_nearest.get() {
            return Ok(found);
        }
        let test = &*self.real.test;
        let seen: Vec<usize> =
            (0..test.len()).filter(|index| !self.is_unseen(&test.combination(*index))).collect();
        let combinations: Vec<Combination> = seen.iter().map(|index| test.combination(*index)).collect();
        let found = nearest_of(&*self.real.train, &combinations, &|rows| {
            load(test, &rows.iter().map(|row| seen[*row]).collect::<Vec<_>>())
        })?;
        Ok(self.held_out_nearest.get_or_init(|| found))
    }

    fn to_nearest(&self, samples: &Samples, nearest: &[Option<Nearest>]) -> ToNearest {
        let (unseen, seen): (Vec<_>, Vec<_>) = samples
            .combinations
            .iter()
            .zip(nearest)
            .partition(|(combination, _)| self.is_unseen(combination));
        let mean = |of: Vec<(&Combination, &Option<Nearest>)>| {
            mean_distance(&of.into_iter().map(|(_, nearest)| *nearest).collect::<Vec<_>>())
        };
        ToNearest { seen: mean(seen), unseen: mean(unseen) }
    }
}

/// The nearest real image of each picture, of the same combination.
fn nearest_to(real: &dyn Dataset, samples: &Samples) -> Result<Vec<Option<Nearest>>> {
    nearest_of(real, &samples.combinations, &|rows| {
        let index = Tensor::from_iter(rows.iter().map(|row| *row as u32), &Device::Cpu)?;
        Ok(samples.images.index_select(&index, 0)?)
    })
}

/// The nearest real image of the same combination for each entry. It works combination by combination, so
/// that not all real images are in memory at once.
/// - `load_rows`: the images of some of the combinations
fn nearest_of(
    real: &dyn Dataset,
    combinations: &[Combination],
    load_rows: &dyn Fn(&[usize]) -> Result<Tensor>,
) -> Result<Vec<Option<Nearest>>> {
    let mut found = vec![None; combinations.len()];
    for combination in combination_counts(real).into_keys() {
        let rows: Vec<usize> =
            (0..combinations.len()).filter(|row| combinations[*row] == combination).collect();
        if rows.is_empty() {
            continue;
        }
        let of_combination: Vec<usize> =
            (0..real.len()).filter(|index| real.combination(*index) == combination).collect();
        let nearest = nearest(&load_rows(&rows)?, &load(real, &of_combination)?)?;
        for (row, nearest) in rows.into_iter().zip(nearest) {
            found[row] = nearest.map(|nearest| Nearest { index: of_combination[nearest.index], ..nearest });
        }
    }
    Ok(found)
}

/// The nearest real image of each, all of one combination.
fn nearest(images: &Tensor, real: &Tensor) -> Result<Vec<Option<Nearest>>> {
    let groups = |images: &Tensor| Ok::<_, candle_core::Error>(vec![0; images.dim(0)?]);
    let (ours, theirs) = (groups(images)?, groups(real)?);
    let queries = Grouped { images, groups: &ours };
    Ok(nearest_images(queries, Grouped { images: real, groups: &theirs })?)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use cccm_data::{CombinationFilter, Shapes, ShapesConfig};
    use cccm_eval::ClassifierTraining;

    use super::*;
    use crate::judge::Keep;

    /// Shapes of one combination unseen; those to test with are of another seed.
    fn shapes() -> Result<RealImages> {
        let drawn = |seed| {
            let combinations = CombinationFilter::all();
            Shapes::new(&ShapesConfig {
                image_px: 16,
                images_per_combination: 100,
                seed,
                sized: false,
                combinations,
            })
            .map(Arc::new)
        };
        let (train, test) = (drawn(0)?, drawn(1)?);
        let held_out = BTreeSet::from([train.vocabulary().combination(&["red", "Circle"])?]);
        Ok(RealImages { learnt: Arc::clone(&train) as Arc<dyn Dataset>, train, test, held_out })
    }

    #[test]
    fn pictures_are_laid_beside_the_nearest_of_their_own_pair() -> Result<()> {
        let real = shapes()?;
        let vocabulary = real.train.vocabulary();
        let labels = vocabulary.kinds();
        let dir = tempfile::tempdir()?;
        let keep = Keep::File(dir.path().join("classifier.safetensors"));
        let training = ClassifierTraining { steps: 1, ..ClassifierTraining::default() };
        let judge = Judge::of(&real, labels, &training, &keep, &|| false, &|_| ())?;
        let features = Box::new(judge.classifier.clone());
        let reference = Reference::new(real, judge, features, 1, &|_| ())?;

        // Real images as pictures, one as if it had been asked for as another combination.
        let rows = [500, 3, 77, 901];
        let mut combinations: Vec<Combination> =
            rows.iter().map(|row| reference.real.learnt.combination(*row)).collect();
        combinations[3] = combinations[0];
        let samples = Samples { combinations, images: reference.real_images(&rows)?, secs: 0.0 };
        let nearest: Vec<Nearest> = reference.nearest(&samples)?.into_iter().flatten().collect();
        for (found, row) in nearest[..3].iter().zip(rows) {
            assert_eq!(*found, Nearest { index: row, distance: 0.0 });
        }
        assert!(nearest[3].distance > 0.0);
        assert_eq!(reference.real.learnt.combination(nearest[3].index), samples.combinations[3]);
        Ok(())
    }
}
