//! Scores of several evaluations as one number each.

use cccm_eval::{Accuracy, Combination, Distances, Estimate, PixelDistances, Proportion};
use serde::Serialize;

use cccm_scores::Scores;

/// A score, and how far it may be off.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Number {
    /// The score; over several runs its mean.
    pub(crate) value: f64,
    /// The 95 % confidence interval, of which pictures happened to be drawn.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) interval: Option<(f64, f64)>,
    /// Standard deviation over runs of other training seeds, where there are some.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) spread: Option<f64>,
}

/// The scores of a row; each absent where there were too few pictures for it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Numbers {
    pub(crate) accuracy_seen: Option<Number>,
    pub(crate) accuracy_unseen: Option<Number>,
    pub(crate) frechet_seen: Option<Number>,
    pub(crate) frechet_unseen: Option<Number>,
    pub(crate) frechet_all: Option<Number>,
    /// Fréchet distance of pixels.
    pub(crate) px_seen: Option<Number>,
    pub(crate) px_unseen: Option<Number>,
    pub(crate) px_all: Option<Number>,
    /// Sliced Wasserstein distance of patches, on the finest and on the coarsest level.
    pub(crate) swd_fine: Option<Number>,
    pub(crate) swd_coarse: Option<Number>,
    /// Distance to the background of the real images, and the grain of the pictures' own.
    pub(crate) background: Option<Number>,
    pub(crate) grain: Option<Number>,
    pub(crate) kernel_all: Option<Number>,
    pub(crate) precision: Option<Number>,
    pub(crate) recall: Option<Number>,
    pub(crate) diversity: Option<Number>,
    pub(crate) copies: Option<Number>,
    pub(crate) to_nearest_seen: Option<Number>,
    pub(crate) to_nearest_unseen: Option<Number>,
    /// Per label kind the share of pictures whose label of that kind is recognised, on seen pairs and on unseen ones.
    pub(crate) kinds_seen: Vec<Option<Number>>,
    pub(crate) kinds_unseen: Vec<Option<Number>>,
    /// The pairs that training did not show.
    pub(crate) unseen_pairs: Vec<PairNumbers>,
}

/// The accuracy of one pair.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct PairNumbers {
    /// Per label kind the label's index.
    pub(crate) labels: Vec<u32>,
    pub(crate) accuracy: Option<Number>,
    /// Per label kind the share of pictures whose label of that kind is recognised.
    pub(crate) kinds: Vec<Option<Number>>,
}

impl Numbers {
    /// The numbers of some runs, each with one or more evaluations.
    pub(crate) fn of(runs: &[Vec<&Scores>]) -> Self {
        let all = |of: fn(&Distances) -> f64| plain(runs, |scores| scores.all.as_ref().map(of));
        let pixels = |of: fn(&PixelDistances) -> Option<Estimate>| {
            estimate(runs, |scores| scores.pixels.all.as_ref().and_then(of))
        };
        let diversity = |scores: &Scores| Some(scores.all.as_ref()?.diversity.as_ref()?.overall);
        Self {
            accuracy_seen: share(runs, |scores| Some(scores.accuracy.seen)),
            accuracy_unseen: share(runs, |scores| scores.accuracy.unseen),
            frechet_seen: estimate(runs, |scores| scores.seen.as_ref().map(|d| d.frechet)),
            frechet_unseen: estimate(runs, |scores| scores.unseen.as_ref().map(|d| d.frechet)),
            frechet_all: estimate(runs, |scores| scores.all.as_ref().map(|d| d.frechet)),
            px_seen: estimate(runs, |scores| scores.pixels.seen.as_ref().map(|d| d.pixels)),
            px_unseen: estimate(runs, |scores| scores.pixels.unseen.as_ref().map(|d| d.pixels)),
            px_all: pixels(|all| Some(all.pixels)),
            swd_fine: pixels(|all| all.patches.first().copied()),
            swd_coarse: pixels(|all| all.patches.last().copied()),
            background: pixels(|all| Some(all.background?.distance)),
            grain: pixels(|all| Some(all.background?.grain)),
            kernel_all: all(|distances| distances.kernel.mean),
            precision: all(|distances| distances.manifold.precision),
            recall: all(|distances| distances.manifold.recall),
            diversity: plain(runs, diversity),
            copies: share(runs, |scores| scores.copies.as_ref().map(|copies| copies.copies)),
            to_nearest_seen: estimate(runs, |scores| scores.to_nearest.and_then(|of| of.seen)),
            to_nearest_unseen: estimate(runs, |scores| scores.to_nearest.and_then(|of| of.unseen)),
            kinds_seen: kinds(runs, |accuracy| Some(&accuracy.kinds_seen)),
            kinds_unseen: kinds(runs, |accuracy| Some(&accuracy.kinds_unseen)),
            unseen_pairs: unseen_pairs(runs),
        }
    }
}

/// Per label kind the share of the pictures of all runs together.
fn kinds(
    runs: &[Vec<&Scores>],
    of: impl for<'a> Fn(&'a Accuracy) -> Option<&'a Vec<Proportion>>,
) -> Vec<Option<Number>> {
    let count = runs.iter().flatten().filter_map(|scores| of(&scores.accuracy)).map(Vec::len).max();
    let of_kind = |kind: usize| share(runs, |scores| of(&scores.accuracy)?.get(kind).copied());
    (0..count.unwrap_or(0)).map(of_kind).collect()
}

/// The pairs that no run was shown.
fn unseen_pairs(runs: &[Vec<&Scores>]) -> Vec<PairNumbers> {
    let Some(first) = runs.iter().flatten().next() else { return Vec::new() };
    let of_pair = |pair: &Combination| {
        let labels = pair.labels.clone();
        let find = |accuracy: &'_ Accuracy| {
            accuracy.combinations.iter().position(|other| !other.seen && other.labels == labels)
        };
        PairNumbers {
            accuracy: share(runs, |s| Some(s.accuracy.combinations[find(&s.accuracy)?].accuracy)),
            kinds: kinds(runs, |accuracy| Some(&accuracy.combinations[find(accuracy)?].kinds)),
            labels: pair.labels.clone(),
        }
    };
    first.accuracy.combinations.iter().filter(|pair| !pair.seen).map(of_pair).collect()
}

/// The share of the pictures of all runs together.
fn share(runs: &[Vec<&Scores>], of: impl Fn(&Scores) -> Option<Proportion>) -> Option<Number> {
    let mean = plain(runs, |scores| of(scores).map(|share| share.rate))?;
    let shares = || runs.iter().flatten().filter_map(|scores| of(scores));
    let pooled =
        Proportion::new(shares().map(|share| share.hits).sum(), shares().map(|share| share.of).sum());
    Some(Number { interval: Some((pooled.low, pooled.high)), ..mean })
}

/// The mean of independent estimates.
fn estimate(runs: &[Vec<&Scores>], of: impl Fn(&Scores) -> Option<Estimate>) -> Option<Number> {
    let mean = plain(runs, |scores| of(scores).map(|estimate| estimate.value))?;
    let errors: Vec<f64> = runs
        .iter()
        .flatten()
        .filter_map(|scores| of(scores))
        .map(|estimate| estimate.standard_error)
        .collect();
    let error = errors.iter().map(|error| error * error).sum::<f64>().sqrt() / errors.len() as f64;
    let Estimate { low, high, .. } = Estimate::normal(mean.value, error);
    Some(Number { interval: Some((low, high)), ..mean })
}

fn plain(runs: &[Vec<&Scores>], of: impl Fn(&Scores) -> Option<f64>) -> Option<Number> {
    let of_run = |run: &Vec<&Scores>| mean(&run.iter().filter_map(|scores| of(scores)).collect::<Vec<_>>());
    Number::over_runs(&runs.iter().filter_map(of_run).collect::<Vec<_>>())
}

impl Number {
    /// The mean over runs, and their spread.
    pub(crate) fn over_runs(values: &[f64]) -> Option<Self> {
        let value = mean(values)?;
        let squares: f64 = values.iter().map(|of_run| (of_run - value).powi(2)).sum();
        let spread = (values.len() > 1).then(|| (squares / (values.len() - 1) as f64).sqrt());
        Some(Self { value, interval: None, spread })
    }

    /// Half the interval.
    pub(crate) fn half(&self) -> Option<f64> {
        self.interval.map(|(low, high)| (high - low) / 2.0)
    }
}

fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use cccm_eval::{Diversity, KernelDistance, PrecisionRecall};
    use cccm_scores::PixelScores;

    fn scores(right: usize, frechet: Estimate) -> Scores {
        let answers = [vec![0; right], vec![1; 4 - right]].concat();
        let distances = Distances {
            images: 4,
            real_images: 4,
            frechet,
            kernel: KernelDistance { mean: frechet.value, std: 0.0 },
            manifold: PrecisionRecall { precision: 0.5, recall: 0.25 },
            diversity: Some(Diversity { overall: 1.0, groups: BTreeMap::new() }),
        };
        Scores {
            accuracy: Accuracy::new(&[vec![0; 4]], &[answers], &[2], &|_| true).unwrap(),
            all: Some(distances),
            seen: None,
            unseen: None,
            pixels: PixelScores::default(),
            copies: None,
            to_nearest: None,
        }
    }

    #[test]
    fn runs_are_pooled() {
        let [one, other] = [scores(1, Estimate::normal(10.0, 3.0)), scores(4, Estimate::normal(12.0, 4.0))];
        let numbers = Numbers::of(&[vec![&one], vec![&other]]);
        let seen = numbers.accuracy_seen.unwrap();
        // 5 of 8 pictures; numpy.std([0.25, 1], ddof=1).
        let Proportion { low, high, .. } = Proportion::new(5, 8);
        assert_eq!((seen.value, seen.interval), (0.625, Some((low, high))));
        assert!((seen.spread.unwrap() - 0.530_330_085_889_910_6).abs() < 1e-12);
        // The error of a mean of two: sqrt(3² + 4²) / 2.
        let frechet = numbers.frechet_all.unwrap();
        let Estimate { low, high, .. } = Estimate::normal(11.0, 2.5);
        assert_eq!((frechet.value, frechet.interval), (11.0, Some((low, high))));
        assert_eq!((numbers.kernel_all.unwrap().value, numbers.recall.unwrap().value), (11.0, 0.25));
        assert!(numbers.accuracy_unseen.is_none() && numbers.frechet_seen.is_none());

        let kinds: Vec<_> =
            numbers.kinds_seen.iter().flatten().map(|kind| (kind.value, kind.interval)).collect();
        assert_eq!(kinds, [(seen.value, seen.interval)], "there is but one kind");
        assert!(numbers.kinds_unseen.is_empty() && numbers.unseen_pairs.is_empty());

        // Several evaluations of one run have no spread over training seeds.
        let seen = Numbers::of(&[vec![&one, &other]]).accuracy_seen.unwrap();
        assert_eq!((seen.value, seen.spread), (0.625, None));
    }

    #[test]
    fn unseen_pairs_have_numbers_of_their_own() {
        let scores = |answered: [u32; 4]| {
            let wanted = [vec![0, 1, 1, 1], vec![0, 0, 1, 1]];
            let answered = [answered.to_vec(), vec![0, 0, 1, 0]];
            let accuracy = Accuracy::new(&wanted, &answered, &[2, 2], &|pair| pair != [1, 1]).unwrap();
            Scores { accuracy, ..scores(4, Estimate::normal(1.0, 1.0)) }
        };
        let [one, other] = [scores([0, 1, 1, 1]), scores([0, 1, 0, 1])];
        let pairs = Numbers::of(&[vec![&one], vec![&other]]).unseen_pairs;
        assert_eq!((pairs.len(), &pairs[0].labels), (1, &vec![1, 1]));
        let values: Vec<f64> = pairs[0].kinds.iter().flatten().map(|kind| kind.value).collect();
        // Attributes 2 and 1 of 2, objects 1 and 1, both 1 and 0.
        assert_eq!((values, pairs[0].accuracy.unwrap().value), (vec![0.75, 0.5], 0.25));
        let Proportion { low, high, .. } = Proportion::new(1, 4);
        assert_eq!(pairs[0].accuracy.unwrap().interval, Some((low, high)));
    }

    #[test]
    fn the_spread_is_the_standard_deviation_over_runs() {
        let got = Number::over_runs(&[1.0, 2.0, 4.0]).unwrap();
        // numpy.std([1, 2, 4], ddof=1)
        assert!(
            (got.value - 7.0 / 3.0).abs() < 1e-12
                && (got.spread.unwrap() - 1.527_525_231_651_947).abs() < 1e-12
        );
        assert_eq!(Number::over_runs(&[3.0]).unwrap().spread, None);
        assert_eq!(Number::over_runs(&[]), None);
    }
}
