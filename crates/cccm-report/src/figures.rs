//! Scores and training as figures.

use crate::models::Model;
use crate::numbers::{Number, Numbers};
use crate::rows::{Report, Scored, steps_text};
use cccm_render::{Axis, Dash, Figure, Key, Level, Line, Look, Marker, Panel, Point, Scale};

/// Pixels between points of neighbouring models, and of all together, at most.
const SHIFT: f64 = 5.0;
const ALL_SHIFTS: f64 = 32.0;
/// Lines of a training may lie on each other: through the gaps of one the next is seen.
const DASHES: [Dash; 3] = [Dash::Solid, Dash::Dashed, Dash::Mixed];
const EVALUATIONS: &str = "network evaluations per image";
const HEIGHT: f64 = 360.0;

/// One score, on seen and on unseen pairs.
#[derive(Clone, Copy)]
struct Score {
    seen: fn(&Numbers) -> Option<Number>,
    unseen: fn(&Numbers) -> Option<Number>,
}

impl Score {
    const ACCURACY: Self = Self { seen: |n| n.accuracy_seen, unseen: |n| n.accuracy_unseen };
    const FRECHET: Self = Self { seen: |n| n.frechet_seen, unseen: |n| n.frechet_unseen };
    const PIXELS: Self = Self { seen: |n| n.px_seen, unseen: |n| n.px_unseen };
}

/// Accuracy against evaluations.
pub(crate) fn accuracy_figure(report: &Report) -> Figure {
    let score = Score::ACCURACY;
    let axis = Axis::fitting("accuracy (axis stretched towards 1)", Scale::Share, ends(report, score));
    score_figure(report, score, axis, ("accuracy", "Share of pictures whose labels are recognised"))
}

/// Fréchet distance against evaluations.
pub(crate) fn frechet_figure(report: &Report) -> Figure {
    let score = Score::FRECHET;
    let axis = Axis::fitting("Fréchet distance", Scale::Log, ends(report, score));
    score_figure(report, score, axis, ("frechet", "Fréchet distance from real images"))
}

/// Fréchet distance of pixels against evaluations; none where no scores have it.
pub(crate) fn pixels_figure(report: &Report) -> Option<Figure> {
    let (score, ends) = (Score::PIXELS, ends(report, Score::PIXELS));
    if ends.is_empty() {
        return None;
    }
    let axis = Axis::fitting("Fréchet distance of pixels", Scale::Log, ends);
    Some(score_figure(report, score, axis, ("pixels", "Fréchet distance of pixels from real images")))
}

/// Every number that has to be on the axis.
fn ends(report: &Report, score: Score) -> Vec<f64> {
    let rows = report.models.iter().flat_map(|model| &model.rows).map(|row| &row.numbers);
    let numbers =
        rows.chain([&report.real]).flat_map(|numbers| [(score.seen)(numbers), (score.unseen)(numbers)]);
    numbers
        .flatten()
        .flat_map(|number| [Some(number.value), number.interval.map(|i| i.0), number.interval.map(|i| i.1)])
        .flatten()
        .collect()
}

fn score_figure(report: &Report, score: Score, y: Axis, (name, title): (&'static str, &str)) -> Figure {
    let mut evaluations: Vec<usize> =
        report.models.iter().flat_map(|model| &model.rows).map(|row| row.evaluations_per_image).collect();
    evaluations.sort_unstable();
    evaluations.dedup();

    let step = SHIFT.min(ALL_SHIFTS / report.models.len() as f64);
    let (mut lines, mut legend) = (Vec::new(), Vec::new());
    for (number, model) in report.models.iter().enumerate() {
        let shift = step * (number as f64 - (report.models.len() - 1) as f64 / 2.0);
        let seen = Look { number, marker: Marker::Filled, dash: Dash::Solid };
        let unseen = Look { number, marker: Marker::Hollow, dash: Dash::Dashed };
        for (look, of) in [(seen, score.seen), (unseen, score.unseen)] {
            lines.extend(lines_of(model, of, look, shift));
        }
        legend.push(Key::Line(seen, model.name.clone()));
    }
    legend.push(Key::Text(String::new()));
    legend.push(Key::Text("filled: seen pairs".to_owned()));
    legend.push(Key::Text("hollow, dashed: unseen pairs".to_owned()));
    legend.push(Key::Text("bars: 95 % intervals".to_owned()));
    legend.push(Key::Text(String::new()));

    let mut levels = Vec::new();
    let teacher = report
        .teacher()
        .map(|(model, row)| (format!("{}, {}", model.name, steps_text(row.steps)), &row.numbers));
    let real = ("real images".to_owned(), &report.real);
    for ((name, numbers), dashes) in
        [(Some(real), [Dash::Solid, Dash::Dashed]), (teacher, [Dash::Mixed, Dash::Dotted])]
            .into_iter()
            .filter_map(|(level, dashes)| Some((level?, dashes)))
    {
        for (of, which, dash) in [(score.seen, "seen", dashes[0]), (score.unseen, "unseen", dashes[1])] {
            if let Some(number) = of(numbers) {
                levels.push(Level { y: number.value, dash });
                legend.push(Key::Level(dash, format!("{name}, {which}")));
            }
        }
    }
    let panel = Panel { x: Axis::of_numbers(EVALUATIONS, &evaluations), y, height: HEIGHT, levels, lines };
    Figure { name, title: title.to_owned(), panels: vec![panel], legend }
}

/// One line for every guidance scale.
fn lines_of(model: &Scored, of: fn(&Numbers) -> Option<Number>, look: Look, shift: f64) -> Vec<Line> {
    let same_scale = model.rows.chunk_by(|one, other| one.guidance_scale == other.guidance_scale);
    same_scale
        .map(|rows| {
            let points = rows.iter().filter_map(|row| {
                let number = of(&row.numbers)?;
                Some(Point { x: row.evaluations_per_image as f64, y: number.value, bar: number.interval })
            });
            Line { look, points: points.collect(), shift, width: 1.8 }
        })
        .collect()
}

/// Loss and `c_t` over training, one line per run; none if no run has a loss.
/// - `report`: its models have the same colours here
pub(crate) fn training_figure(models: &[Model], report: &Report) -> Option<Figure> {
    let (mut loss, mut c_t, mut legend) = (Vec::new(), Vec::new(), Vec::new());
    let mut next = report.models.len();
    for model in models {
        let number = report.models.iter().position(|rows| rows.name == model.name).unwrap_or_else(|| {
            next += 1;
            next - 1
        });
        let look = Look { number, marker: Marker::None, dash: DASHES[number % DASHES.len()] };
        let line = |points: Vec<(f64, f64)>| {
            let points = points.into_iter().map(|(x, y)| Point { x, y, bar: None }).collect();
            Line { look, points, shift: 0.0, width: 1.4 }
        };
        let before = loss.len();
        for run in model.runs.iter().filter_map(|found| found.run.as_ref()) {
            loss.extend(Some(run.curve.loss()).filter(|points| !points.is_empty()).map(line));
            c_t.extend(Some(run.curve.c_t()).filter(|points| !points.is_empty()).map(line));
        }
        match loss.len() - before {
            0 => {}
            1 => legend.push(Key::Line(look, model.name.clone())),
            runs => legend.push(Key::Line(look, format!("{} ({runs} seeds)", model.name))),
        }
    }
    if loss.is_empty() {
        return None;
    }
    let steps =
        || loss.iter().chain(&c_t).flat_map(|line: &Line| &line.points).map(|point| point.x).chain([0.0]);
    let x = Axis::fitting("training step", Scale::Linear, steps());
    let losses = loss.iter().flat_map(|line| &line.points).map(|point| point.y);
    let y = Axis::fitting("loss, smoothed", Scale::Log, losses);
    let mut panels = vec![Panel { x: x.clone(), y, height: 260.0, levels: vec![], lines: loss }];
    if !c_t.is_empty() {
        let y = Axis::fitting("teacher's share c_t", Scale::Linear, [0.0, 1.0]);
        panels.push(Panel { x, y, height: 130.0, levels: vec![], lines: c_t });
    }
    let title = "Loss and the teacher's share over training".to_owned();
    Some(Figure { name: "training", title, panels, legend })
}
