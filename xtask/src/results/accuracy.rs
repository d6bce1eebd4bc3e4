//! The table of a family: accuracy on seen and unseen pairs against the number of pairs held out.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::Result;
use serde_json::Value;

use super::scores::{self, Interval};

/// Where there is no number.
const NOTHING: &str = "·";

/// One model at one number of steps.
pub(super) struct Row {
    /// How many pairs it has not seen.
    pub(super) held_out: usize,
    /// What it is.
    pub(super) label: String,
    /// Of its training.
    pub(super) seed: u64,
    pub(super) steps: usize,
    /// On seen and on unseen pairs, where there are any.
    accuracy: [Option<Interval>; 2],
}

impl Row {
    /// Reads what `cccm eval` wrote.
    /// - `scores`: where it put the scores of all numbers of steps
    pub(super) fn read(scores: &Path, held_out: usize, label: &str, seed: u64, steps: usize) -> Result<Self> {
        let accuracy = accuracy(&scores::read(scores, steps)?)?;
        Ok(Self { held_out, label: label.to_owned(), seed, steps, accuracy })
    }
}

fn accuracy(record: &Value) -> Result<[Option<Interval>; 2]> {
    let of = |pairs: &str| {
        let value = &record["scores"]["accuracy"][pairs];
        if value.is_null() { Ok(None) } else { Interval::read(value, "rate").map(Some) }
    };
    Ok([of("seen")?, of("unseen")?])
}

/// All rows as Markdown, below what there is to know about them.
pub(super) fn table(note: &str, rows: &[Row]) -> String {
    let mut text = format!(
        "{note}\n\n± is half a 95 % confidence interval for the choice of pictures.\n\n\
         | pairs held out | model | seed | steps | accuracy seen | accuracy unseen |\n\
         | ---: | --- | ---: | ---: | ---: | ---: |\n"
    );
    for Row { held_out, label, seed, steps, accuracy } in rows {
        let [seen, unseen] = accuracy.map(cell);
        // Writing to a string cannot fail.
        let _ = writeln!(text, "| {held_out} | {label} | {seed} | {steps} | {seen} | {unseen} |");
    }
    text
}

fn cell(number: Option<Interval>) -> String {
    number.map_or_else(|| NOTHING.to_owned(), |number| format!("{:.3} ±{:.3}", number.value, number.half()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_has_what_was_scored() {
        let rate = |rate: f64| serde_json::json!({"rate": rate, "low": rate - 0.02, "high": rate + 0.02});
        let mut record =
            serde_json::json!({"scores": {"accuracy": {"seen": rate(0.9), "unseen": rate(0.5)}}});
        let row = |record: &Value| Row {
            held_out: 5,
            label: "student".to_owned(),
            seed: 1,
            steps: 4,
            accuracy: accuracy(record).unwrap(),
        };
        let mut rows = vec![row(&record)];
        record["scores"]["accuracy"]["unseen"] = Value::Null;
        rows.push(row(&record));
        let text = table("A note.", &rows);
        assert!(text.starts_with("A note.\n"), "{text}");
        let lines: Vec<&str> = text.lines().rev().take(2).collect();
        assert_eq!(
            lines,
            [
                "| 5 | student | 1 | 4 | 0.900 ±0.020 | · |",
                "| 5 | student | 1 | 4 | 0.900 ±0.020 | 0.500 ±0.020 |"
            ]
        );
        record["scores"]["accuracy"]["seen"] = serde_json::json!({"rate": 0.9});
        assert!(accuracy(&record).is_err());
    }
}
