//! Scores as a table for people.

use cccm_eval::{Distances, Estimate, Proportion};

use super::score::Scores;
use crate::report::aligned;

/// One line of the table.
pub(crate) struct Row<'a> {
    /// What was judged.
    pub(crate) name: String,
    /// Network evaluations per picture, and seconds; absent for real images.
    pub(crate) cost: Option<(usize, f64)>,
    pub(crate) scores: &'a Scores,
}

/// The scores of several models or step counts, one above the other; `±` is half a 95 % confidence interval.
pub(crate) fn table(rows: &[Row<'_>]) -> String {
    let header = [
        "",
        "evals",
        "ms",
        "accuracy seen",
        "unseen",
        "FD seen",
        "unseen",
        "KID seen",
        "unseen",
        "precision",
        "recall",
        "diversity",
        "copies",
        "to nearest seen",
        "unseen",
    ];
    let lines = rows.iter().map(|row| {
        let scores = row.scores;
        let (seen, unseen) = (scores.seen.as_ref(), scores.unseen.as_ref());
        let diversity = scores.all.as_ref().and_then(|all| all.diversity.as_ref());
        vec![
            row.name.clone(),
            row.cost.map_or_else(nothing, |(evaluations, _)| evaluations.to_string()),
            row.cost.map_or_else(nothing, |(_, secs)| format!("{:.2}", 1000.0 * secs)),
            share(&scores.accuracy.seen),
            scores.accuracy.unseen.as_ref().map_or_else(nothing, share),
            distance(seen),
            distance(unseen),
            kernel(seen),
            kernel(unseen),
            scores.all.as_ref().map_or_else(nothing, |all| format!("{:.2}", all.manifold.precision)),
            scores.all.as_ref().map_or_else(nothing, |all| format!("{:.2}", all.manifold.recall)),
            diversity.map_or_else(nothing, |diversity| format!("{:.2}", diversity.overall)),
            scores.copies.as_ref().map_or_else(nothing, |copies| format!("{:.3}", copies.copies.rate)),
            mean(scores.to_nearest.and_then(|of| of.seen)),
            mean(scores.to_nearest.and_then(|of| of.unseen)),
        ]
    });
    let header = header.map(ToOwned::to_owned).to_vec();
    aligned(&[vec![header], lines.collect()].concat())
}

fn nothing() -> String {
    "·".to_owned()
}

fn share(share: &Proportion) -> String {
    format!("{:.3} ±{:.3}", share.rate, (share.high - share.low) / 2.0)
}

fn distance(distances: Option<&Distances>) -> String {
    distances.map_or_else(nothing, |d| {
        let Estimate { value, low, high, .. } = d.frechet;
        format!("{value:.2} ±{:.2}", (high - low) / 2.0)
    })
}

fn mean(mean: Option<Estimate>) -> String {
    mean.map_or_else(nothing, |Estimate { value, .. }| format!("{value:.3}"))
}

fn kernel(distances: Option<&Distances>) -> String {
    distances.map_or_else(nothing, |d| format!("{:.4}", d.kernel.mean))
}
