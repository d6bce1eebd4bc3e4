//! Scores of several evaluations as one number each.

use cccm_eval::{Distances, Estimate, Proportion};
use serde::Serialize;

use crate::evaluation::Scores;

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
    pub(crate) kernel_all: Option<Number>,
    pub(crate) precision: Option<Number>,
    pub(crate) recall: Option<Number>,
    pub(crate) diversity: Option<Number>,
    pub(crate) copies: Option<Number>,
    pub(crate) to_nearest_seen: Option<Number>,
    pub(crate) to_nearest_unseen: Option<Number>,
}

impl Numbers {
    /// Of runs, and of each one or more evaluations.
    pub(crate) fn of(runs: &[Vec<&Scores>]) -> Self {
        let all = |of: fn(&Distances) -> f64| plain(runs, |scores| scores.all.as_ref().map(of));
        let diversity = |scores: &Scores| Some(scores.all.as_ref()?.diversity.as_ref()?.overall);
        Self {
            accuracy_seen: share(runs, |scores| Some(scores.accuracy.seen)),
            accuracy_unseen: share(runs, |scores| scores.accuracy.unseen),
            frechet_seen: estimate(runs, |scores| scores.seen.as_ref().map(|d| d.frechet)),
            frechet_unseen: estimate(runs, |scores| scores.unseen.as_ref().map(|d| d.frechet)),
            frechet_all: estimate(runs, |scores| scores.all.as_ref().map(|d| d.frechet)),
            kernel_all: all(|distances| distances.kernel.mean),
            precision: all(|distances| distances.manifold.precision),
            recall: all(|distances| distances.manifold.recall),
            diversity: plain(runs, diversity),
            copies: share(runs, |scores| scores.copies.as_ref().map(|copies| copies.copies)),
            to_nearest_seen: estimate(runs, |scores| scores.to_nearest.and_then(|of| of.seen)),
            to_nearest_unseen: estimate(runs, |scores| scores.to_nearest.and_then(|of| of.unseen)),
        }
    }
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
    use cccm_eval::{Accuracy, Diversity, KernelDistance, PrecisionRecall};

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

        // Several evaluations of one run have no spread over training seeds.
        let seen = Numbers::of(&[vec![&one, &other]]).accuracy_seen.unwrap();
        assert_eq!((seen.value, seen.spread), (0.625, None));
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
