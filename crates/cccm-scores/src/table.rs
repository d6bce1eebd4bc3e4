//! Scores as tables for people.

use cccm_eval::{Distances, Estimate, PixelDistances, Proportion};

use crate::score::Scores;
use cccm_render::aligned;

/// One line of the tables.
pub struct Row<'a> {
    /// What was judged.
    pub name: String,
    /// Network evaluations per picture, and seconds; absent for real images.
    pub cost: Option<(usize, f64)>,
    /// Its scores.
    pub scores: &'a Scores,
}

type Cell = fn(&Row<'_>) -> String;

/// Columns of the first table: the main scores.
const MAIN: [(&str, Cell); 12] = [
    ("evals", |row| row.cost.map_or_else(nothing, |(evaluations, _)| evaluations.to_string())),
    ("ms", |row| row.cost.map_or_else(nothing, |(_, secs)| format!("{:.2}", 1000.0 * secs))),
    ("accuracy seen", |row| share(Some(row.scores.accuracy.seen))),
    ("unseen", |row| share(row.scores.accuracy.unseen)),
    ("FD seen", |row| estimate(row.scores.seen.as_ref().map(|d| d.frechet), 2)),
    ("unseen", |row| estimate(row.scores.unseen.as_ref().map(|d| d.frechet), 2)),
    ("px seen", |row| estimate(row.scores.pixels.seen.as_ref().map(|d| d.pixels), 2)),
    ("unseen", |row| estimate(row.scores.pixels.unseen.as_ref().map(|d| d.pixels), 2)),
    ("swd fine", |row| estimate(pixels(row).and_then(|d| d.patches.first().copied()), 1)),
    ("coarse", |row| estimate(pixels(row).and_then(|d| d.patches.last().copied()), 1)),
    ("background", |row| estimate(pixels(row).and_then(|d| d.background).map(|b| b.distance), 1)),
    ("grain", |row| estimate(pixels(row).and_then(|d| d.background).map(|b| b.grain), 1)),
];

/// Columns of the second table: scores that explain the first.
const MORE: [(&str, Cell); 10] = [
    ("KID seen", |row| number(row.scores.seen.as_ref().map(|d| d.kernel.mean), 4)),
    ("unseen", |row| number(row.scores.unseen.as_ref().map(|d| d.kernel.mean), 4)),
    ("precision", |row| number(all(row).map(|d| d.manifold.precision), 2)),
    ("recall", |row| number(all(row).map(|d| d.manifold.recall), 2)),
    ("diversity", |row| number(all(row).and_then(|d| Some(d.diversity.as_ref()?.overall)), 2)),
    ("copies", |row| number(row.scores.copies.as_ref().map(|copies| copies.copies.rate), 3)),
    ("to nearest seen", |row| number(row.scores.to_nearest.and_then(|of| Some(of.seen?.value)), 3)),
    ("unseen", |row| number(row.scores.to_nearest.and_then(|of| Some(of.unseen?.value)), 3)),
    ("labels seen", |row| kinds(&row.scores.accuracy.kinds_seen)),
    ("unseen", |row| kinds(&row.scores.accuracy.kinds_unseen)),
];

/// The scores of several models or step counts, one above the other, in two tables; `±` is half a 95 % confidence interval.
pub fn table(rows: &[Row<'_>]) -> String {
    format!("{}\n{}", columns(rows, &MAIN), columns(rows, &MORE))
}

fn columns(rows: &[Row<'_>], columns: &[(&str, Cell)]) -> String {
    let header = std::iter::once(String::new()).chain(columns.iter().map(|(header, _)| (*header).to_owned()));
    let line = |row: &Row<'_>| -> Vec<String> {
        std::iter::once(row.name.clone()).chain(columns.iter().map(|(_, cell)| cell(row))).collect()
    };
    aligned(&std::iter::once(header.collect()).chain(rows.iter().map(line)).collect::<Vec<_>>())
}

fn all<'a>(row: &Row<'a>) -> Option<&'a Distances> {
    row.scores.all.as_ref()
}

fn pixels<'a>(row: &Row<'a>) -> Option<&'a PixelDistances> {
    row.scores.pixels.all.as_ref()
}

fn nothing() -> String {
    "·".to_owned()
}

fn share(share: Option<Proportion>) -> String {
    share.map_or_else(nothing, |share| format!("{:.3} ±{:.3}", share.rate, (share.high - share.low) / 2.0))
}

/// Kind by kind, such as `0.995 0.981`.
fn kinds(kinds: &[Proportion]) -> String {
    let rates: Vec<String> = kinds.iter().map(|kind| format!("{:.3}", kind.rate)).collect();
    if rates.is_empty() { nothing() } else { rates.join(" ") }
}

fn estimate(estimate: Option<Estimate>, decimals: usize) -> String {
    estimate.map_or_else(nothing, |Estimate { value, low, high, .. }| {
        format!("{value:.decimals$} ±{:.decimals$}", (high - low) / 2.0)
    })
}

fn number(number: Option<f64>, decimals: usize) -> String {
    number.map_or_else(nothing, |number| format!("{number:.decimals$}"))
}
