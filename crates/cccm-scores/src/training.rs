//! Scores while training: few pictures, at every evaluation.

use std::fmt;

use anyhow::Result;
use cccm_data::Combination;
use cccm_eval::{ClassifierTraining, PixelDistances};
use cccm_labels::LabelKind;
use cccm_sample::BatchSampler;
use serde::Serialize;

use crate::draw::Samples;
use crate::judge::{Judge, Keep};
use crate::progress::Watch;
use crate::real::RealImages;
use crate::score::{Reference, Scores};

/// Real images of each combination that distances are measured from, at most: fewer than `cccm eval` takes, to be quick.
const REAL_PER_PAIR: usize = 100;

/// Scores pictures of a network in training.
pub struct Scorer {
    reference: Reference,
    combinations: Vec<Combination>,
}

/// What is logged of the scores.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct TrainingScores {
    /// Share of the pictures whose labels are all read right.
    pub accuracy: f64,
    /// The same on combinations of training images.
    pub accuracy_seen: f64,
    /// The same on all others.
    pub accuracy_unseen: Option<f64>,
    /// Fréchet distance of features, on all combinations.
    pub frechet: Option<f64>,
    /// The same on combinations of training images.
    pub frechet_seen: Option<f64>,
    /// The same on all others.
    pub frechet_unseen: Option<f64>,
    /// Fréchet distance of pixels, on all combinations.
    pub px: Option<f64>,
    /// The same on combinations of training images.
    pub px_seen: Option<f64>,
    /// The same on all others.
    pub px_unseen: Option<f64>,
    /// Sliced Wasserstein distance of patches on the finest level, on all combinations.
    pub swd_fine: Option<f64>,
    /// The same on the coarsest.
    pub swd_coarse: Option<f64>,
    /// Distance to the background of the real images, on all combinations, where that is known.
    pub background: Option<f64>,
    /// Kernel distance of features, on all combinations.
    pub kernel: Option<f64>,
    /// Diversity within a combination, 1 being that of real images.
    pub diversity: Option<f64>,
}

impl Scorer {
    /// Finds or trains the classifier of their labels, and looks at the real images.
    /// - `per_pair`: pictures to draw of each combination
    ///
    /// # Errors
    /// When the images cannot be read, or the classifier neither be read nor trained.
    pub fn new(
        real: RealImages,
        labels: &[LabelKind],
        per_combination: usize,
        watch: &Watch<'_>,
    ) -> Result<Self> {
        let combinations: Vec<Combination> = real.train.vocabulary().combinations().collect();
        let judge = Judge::of(&real, labels, &ClassifierTraining::default(), &Keep::Cache, &|| false, watch)?;
        let features = Box::new(judge.classifier.clone());
        let reference = Reference::new(real, judge, features, REAL_PER_PAIR, watch)?;
        Ok(Self { reference, combinations: combinations.repeat(per_combination) })
    }

    /// Draws and scores.
    ///
    /// # Errors
    /// When the sampler fails or real images cannot be read.
    pub fn score(&self, sampler: &BatchSampler<'_>) -> Result<TrainingScores> {
        let samples = Samples::fresh(sampler, self.combinations.clone())?;
        Ok(TrainingScores::of(&self.reference.score(&samples)?))
    }
}

impl TrainingScores {
    fn of(scores: &Scores) -> Self {
        let frechet = |set: &Option<cccm_eval::Distances>| set.as_ref().map(|set| set.frechet.value);
        let px = |set: &Option<PixelDistances>| set.as_ref().map(|set| set.pixels.value);
        let pixels = scores.pixels.all.as_ref();
        Self {
            accuracy: scores.accuracy.all.rate,
            accuracy_seen: scores.accuracy.seen.rate,
            accuracy_unseen: scores.accuracy.unseen.map(|share| share.rate),
            frechet: frechet(&scores.all),
            frechet_seen: frechet(&scores.seen),
            frechet_unseen: frechet(&scores.unseen),
            px: px(&scores.pixels.all),
            px_seen: px(&scores.pixels.seen),
            px_unseen: px(&scores.pixels.unseen),
            swd_fine: pixels.and_then(|all| Some(all.patches.first()?.value)),
            swd_coarse: pixels.and_then(|all| Some(all.patches.last()?.value)),
            background: pixels.and_then(|all| Some(all.background?.distance.value)),
            kernel: scores.all.as_ref().map(|all| all.kernel.mean),
            diversity: scores.all.as_ref().and_then(|all| Some(all.diversity.as_ref()?.overall)),
        }
    }

    /// Names and numbers, as event files have them.
    pub fn scalars(&self) -> Vec<(&'static str, f64)> {
        [
            ("eval/accuracy", Some(self.accuracy)),
            ("eval/accuracy_seen", Some(self.accuracy_seen)),
            ("eval/accuracy_unseen", self.accuracy_unseen),
            ("eval/frechet", self.frechet),
            ("eval/frechet_seen", self.frechet_seen),
            ("eval/frechet_unseen", self.frechet_unseen),
            ("eval/px", self.px),
            ("eval/px_seen", self.px_seen),
            ("eval/px_unseen", self.px_unseen),
            ("eval/swd_fine", self.swd_fine),
            ("eval/swd_coarse", self.swd_coarse),
            ("eval/background", self.background),
            ("eval/kernel", self.kernel),
            ("eval/diversity", self.diversity),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
        .collect()
    }
}

impl fmt::Display for TrainingScores {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "accuracy {:.3} on seen pairs", self.accuracy_seen)?;
        if let Some(unseen) = self.accuracy_unseen {
            write!(f, ", {unseen:.3} on unseen")?;
        }
        if let Some(frechet) = self.frechet {
            write!(f, "; Fréchet distance {frechet:.2}")?;
        }
        match self.px {
            Some(px) => write!(f, ", of pixels {px:.2}"),
            None => Ok(()),
        }
    }
}
