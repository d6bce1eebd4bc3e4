//! Compares what README.md states about the default run and its teacher with a fresh run.

use std::fmt;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

/// What the comment above the table says.
const MARK: &str = "cargo xtask e2e checks";
/// Columns that are not compared: they tell how a row was made, or depend on the machine.
const NOT_SCORES: [&str; 3] = ["evaluations", "ms", ""];

/// The rows of README.md's main table that a fresh run can be held against.
#[derive(Debug)]
pub(crate) struct Stated {
    rows: Vec<Row>,
}

/// Whose row it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Model {
    /// The built-in one.
    Teacher,
    /// Of `cccm train` with its defaults.
    Student,
}

#[derive(Debug)]
struct Row {
    model: Model,
    steps: usize,
    numbers: Vec<(Score, Number)>,
}

/// One number of `scores.json`.
#[derive(Clone, Debug)]
struct Score {
    /// Such as `px` and `seen`.
    name: String,
    part: String,
}

/// A number as it is written: `0.886 ±0.016`.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Number {
    value: f64,
    spread: f64,
    decimals: usize,
}

impl Stated {
    /// Reads the table below the comment that says that it is checked.
    pub(crate) fn read(readme: &Path) -> Result<Self> {
        let read = || -> Result<Self> { Self::parse(&std::fs::read_to_string(readme)?) };
        read().with_context(|| format!("cannot check {}", readme.display()))
    }

    fn parse(text: &str) -> Result<Self> {
        let mut lines = text.lines().skip_while(|line| !(line.starts_with("<!--") && line.contains(MARK)));
        lines.next().with_context(|| format!("there is no comment with `{MARK}` above a table"))?;
        let table: Vec<Vec<&str>> = lines.take_while(|line| line.starts_with('|')).map(cells).collect();
        let [header, _, rows @ ..] = &table[..] else { bail!("there is no table below `{MARK}`") };
        let columns = columns(header)?;
        let mut found = Vec::new();
        for cells in rows {
            let model = match cells.first() {
                Some(&"teacher") => Model::Teacher,
                Some(&"`cccm train`") => Model::Student,
                _ => continue,
            };
            found.push(Row::parse(model, cells, &columns)?);
        }
        let of = |model| found.iter().any(|row: &Row| row.model == model);
        ensure!(
            of(Model::Teacher) && of(Model::Student),
            "it has no row of `teacher`, or none of `cccm train`"
        );
        Ok(Self { rows: found })
    }

    /// Where a fresh run differs by more than the stated spread, in words.
    /// - `scores`: the `scores.json` of a model and number of steps
    pub(crate) fn broken(&self, scores: &dyn Fn(Model, usize) -> Result<Value>) -> Result<Vec<String>> {
        let mut broken = Vec::new();
        for row in &self.rows {
            let record = scores(row.model, row.steps)?;
            for (score, stated) in &row.numbers {
                let fresh = score.of(&record);
                let fresh = fresh.with_context(|| format!("{score} is not in the scores of {row}"))?;
                if !stated.holds(fresh) {
                    broken.push(format!(
                        "README.md states {score} {stated} for {row}, and a fresh run has {fresh:.3}"
                    ));
                }
            }
        }
        Ok(broken)
    }
}

impl Row {
    fn parse(model: Model, cells: &[&str], columns: &[Column]) -> Result<Self> {
        let (mut steps, mut numbers) = (None, Vec::new());
        for (cell, column) in cells.iter().zip(columns) {
            match column {
                Column::Steps => steps = Some(cell.parse().with_context(|| format!("`{cell}` steps"))?),
                Column::Score(score) if *cell != "·" => numbers.push((score.clone(), Number::parse(cell)?)),
                _ => {}
            }
        }
        let steps = steps.context("the table has no column `steps`")?;
        Ok(Self { model, steps, numbers })
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let model = match self.model {
            Model::Teacher => "the teacher",
            Model::Student => "`cccm train`",
        };
        write!(f, "{model}, {} step{}", self.steps, if self.steps == 1 { "" } else { "s" })
    }
}

impl fmt::Display for Score {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}{}{}`", self.name, if self.part.is_empty() { "" } else { ", " }, self.part)
    }
}

enum Column {
    Steps,
    Score(Score),
    NoScore,
}

/// What the columns are. A name may stand once for two columns: `px, seen` and `unseen`.
fn columns(header: &[&str]) -> Result<Vec<Column>> {
    let mut name = String::new();
    let column = |cell: &&str| {
        let score = match cell.split_once(", ") {
            _ if *cell == "steps" => return Ok(Column::Steps),
            _ if NOT_SCORES.contains(cell) => return Ok(Column::NoScore),
            Some((of, part)) => {
                of.clone_into(&mut name);
                Score { name: name.clone(), part: part.trim_end_matches(" pairs").to_owned() }
            }
            None if cell.starts_with("unseen") => Score { name: name.clone(), part: "unseen".to_owned() },
            None => Score { name: (*cell).to_owned(), part: String::new() },
        };
        ensure!(score.place().is_some(), "nothing is known of a column `{cell}`");
        Ok(Column::Score(score))
    };
    header.iter().map(column).collect()
}

impl Score {
    /// Where it stands in `scores.json`; none if it is no score that is known.
    fn place(&self) -> Option<String> {
        let Self { name, part } = self;
        Some(match (name.as_str(), part.as_str()) {
            ("accuracy", "seen" | "unseen") => format!("/scores/accuracy/{part}/rate"),
            ("Fréchet distance" | "FD", "seen" | "unseen") => format!("/scores/{part}/frechet/value"),
            ("px", "seen" | "unseen" | "all") => format!("/scores/pixels/{part}/pixels/value"),
            ("swd fine" | "swd coarse", "") => "/scores/pixels/all/patches".to_owned(),
            ("background", "") => "/scores/pixels/all/background/distance/value".to_owned(),
            ("grain", "") => "/scores/pixels/all/background/grain/value".to_owned(),
            _ => return None,
        })
    }

    fn of(&self, record: &Value) -> Option<f64> {
        let found = record.pointer(&self.place()?)?;
        match (self.name.as_str(), found.as_array()) {
            ("swd fine", Some(levels)) => levels.first()?["value"].as_f64(),
            (_, Some(levels)) => levels.last()?["value"].as_f64(),
            (_, None) => found.as_f64(),
        }
    }
}

impl Number {
    fn parse(cell: &str) -> Result<Self> {
        let read = || {
            let (value, spread) = cell.split_once(" ±")?;
            let decimals = value.split_once('.').map_or(0, |(_, decimals)| decimals.len());
            Some(Self { value: value.parse().ok()?, spread: spread.parse().ok()?, decimals })
        };
        read().with_context(|| format!("`{cell}` is no number with its spread, such as `0.886 ±0.016`"))
    }

    /// Whether a number lies within the spread, to rounding.
    fn holds(self, fresh: f64) -> bool {
        let rounding = 0.5 * 0.1f64.powi(self.decimals as i32);
        (fresh - self.value).abs() <= self.spread + rounding + 1e-12
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.2$} ±{:.2$}", self.value, self.spread, self.decimals)
    }
}

fn cells(line: &str) -> Vec<&str> {
    line.trim().trim_matches('|').split('|').map(str::trim).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const README: &str = "\
<!-- from RESULTS.md; cargo xtask e2e checks the rows of teacher and `cccm train` -->
| | steps | evaluations | ms | accuracy, seen pairs | unseen pairs | px, seen | unseen | swd fine | swd coarse | background |
| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |
| real images | · | · | · | 0.989 ±0.005 | 0.990 ±0.009 | 3.40 ±0.10 | 4.00 ±0.20 | 5.6 ±0.1 | 19.0 ±1.0 | 0.0 ±0.0 |
| teacher | 50 | 100 | 107.0 | 0.988 ±0.005 | 0.986 ±0.011 | 24.00 ±1.00 | · | 23.0 ±1.0 | 125.0 ±4.0 | 6.0 ±0.5 |
| `cccm train` | 1 | 1 | 1.1 | 0.830 ±0.010 | 0.770 ±0.020 | 235.00 ±9.00 | 240.00 ±9.00 | 110.0 ±5.0 | 356.0 ±9.0 | 64.0 ±2.0 |

| `cccm train` | of another table |";

    fn record(accuracy: f64, px: f64) -> Value {
        let estimate = |value: f64| serde_json::json!({ "value": value });
        let set = serde_json::json!({ "pixels": estimate(px) });
        serde_json::json!({ "scores": {
            "accuracy": { "seen": { "rate": accuracy }, "unseen": { "rate": accuracy - 0.06 } },
            "pixels": { "seen": set, "unseen": set, "all": {
                "patches": [estimate(110.0), estimate(200.0), estimate(356.0)],
                "background": { "distance": estimate(64.0), "grain": estimate(50.0) },
            } },
        } })
    }

    fn broken(student: &Value) -> Vec<String> {
        let teacher = serde_json::json!({ "scores": {
            "accuracy": { "seen": { "rate": 0.988 }, "unseen": { "rate": 0.986 } },
            "pixels": { "seen": { "pixels": { "value": 24.5 } }, "all": {
                "patches": [{ "value": 22.5 }, { "value": 128.0 }],
                "background": { "distance": { "value": 6.1 } },
            } },
        } });
        let scores = |model, steps| match (model, steps) {
            (Model::Teacher, 50) => Ok(teacher.clone()),
            (Model::Student, 1) => Ok(student.clone()),
            other => bail!("{other:?} is not scored"),
        };
        Stated::parse(README).unwrap().broken(&scores).unwrap()
    }

    #[test]
    fn a_run_within_the_stated_spread_keeps_it() {
        assert_eq!(broken(&record(0.830, 240.0)), Vec::<String>::new());
        // As far off as it may be, with what rounding hides.
        assert_eq!(broken(&record(0.8404, 240.0)), Vec::<String>::new());
    }

    #[test]
    fn what_differs_is_named_with_both_numbers() {
        let named = broken(&record(0.842, 240.0));
        assert_eq!(
            named,
            [
                "README.md states `accuracy, seen` 0.830 ±0.010 for `cccm train`, 1 step, and a fresh run has 0.842"
            ]
        );
        // Better than stated is as wrong.
        let named = broken(&record(0.830, 200.0));
        assert_eq!(named.len(), 2, "{named:?}");
        assert!(
            named[0].contains("`px, seen` 235.00 ±9.00") && named[1].contains("`px, unseen`"),
            "{named:?}"
        );
        let mut student = record(0.830, 240.0);
        student["scores"]["pixels"]["all"]["patches"][2]["value"] = 366.0.into();
        assert!(broken(&student)[0].contains("`swd coarse` 356.0 ±9.0"));
        student["scores"]["pixels"]["all"]["background"]["distance"]["value"] = 61.0.into();
        assert!(broken(&student)[1].contains("`background` 64.0 ±2.0"));
    }

    #[test]
    fn a_score_that_a_run_lacks_is_an_error() {
        let stated = Stated::parse(README).unwrap();
        let message = stated.broken(&|_, _| Ok(Value::Null)).unwrap_err().to_string();
        assert!(
            message.contains("`accuracy, seen` is not in the scores of the teacher, 50 steps"),
            "{message}"
        );
    }

    #[test]
    fn a_table_that_cannot_be_checked_is_refused() {
        let refused = |from: &str, to: &str| {
            let changed = README.replace(from, to);
            assert_ne!(changed, README, "{from}");
            format!("{:#}", Stated::parse(&changed).unwrap_err())
        };
        assert!(refused("checks", "ignores").contains("no comment with `cargo xtask e2e checks`"));
        assert!(refused("| px, seen ", "| beauty ").contains("nothing is known of a column `beauty`"));
        assert!(refused("0.830 ±0.010", "0.830").contains("`0.830` is no number with its spread"));
        assert!(refused("| steps ", "| ms ").contains("no column `steps`"));
        assert!(refused("| teacher |", "| tutor |").contains("no row of `teacher`"));
    }

    #[test]
    fn the_readme_of_this_repository_can_be_checked() {
        let stated = Stated::read(&crate::root().join("README.md")).unwrap();
        let student = stated.rows.iter().filter(|row| row.model == Model::Student);
        let steps: Vec<usize> = student.map(|row| row.steps).collect();
        assert!(steps.contains(&1) && steps.contains(&4), "{steps:?}");
    }
}
