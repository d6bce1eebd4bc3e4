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
}

impl Numbers {
    /// Of runs, and of each one or more evaluations.
    pub(crate) fn of(runs: &[Vec<&Scores>]) -> Self {
        let all = |of: fn(&Distances) -> f64| plain(runs, |scores| scores.all.as_ref().map(of));
        Self {
            accuracy_seen: share(runs, |scores| Some(scores.accuracy.seen)),
            accuracy_unseen: share(runs, |scores| scores.accuracy.unseen),
            frechet_seen: estimate(runs, |scores| scores.seen.as_ref().map(|d| d.frechet)),
            frechet_unseen: estimate(runs, |scores| scores.unseen.as_ref().map(|d| d.frechet)),
            frechet_all: estimate(runs, |scores| scores.all.as_ref().map(|d| d.frechet)),
            kernel_all: all(|distances| distances.kernel.mean),
            precision: all(|distances| distances.manifold.precision),
            recall: all(|distances| distances.manifold.recall),
            diversity: all(|distances| distances.diversity.overall),
            copies: share(runs, |scores| scores.copies.as_ref().map(|copies| copies.copies)),
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
    use super::*;

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
