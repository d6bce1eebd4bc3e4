//! Numbers that `cccm eval` wrote.

use std::path::Path;

use anyhow::{Context, Result};
use serde_json::Value;

/// A number and its confidence interval.
#[derive(Clone, Copy, Debug)]
pub(super) struct Interval {
    pub(super) value: f64,
    pub(super) low: f64,
    pub(super) high: f64,
}

impl Interval {
    /// Half of the interval.
    pub(super) fn half(self) -> f64 {
        (self.high - self.low) / 2.0
    }

    /// Reads one.
    /// - `name`: what its number is called
    pub(super) fn read(value: &Value, name: &str) -> Result<Self> {
        let number =
            |key: &str| value[key].as_f64().with_context(|| format!("there is no number `{key}` in {value}"));
        Ok(Self { value: number(name)?, low: number("low")?, high: number("high")? })
    }
}

/// The `scores.json` of a number of steps.
/// - `scores`: where `cccm eval` put all of them
pub(super) fn read(scores: &Path, steps: usize) -> Result<Value> {
    let path = scores.join(format!("steps-{steps}/scores.json"));
    let read = || -> Result<Value> { Ok(serde_json::from_slice(&std::fs::read(&path)?)?) };
    read().with_context(|| format!("cannot read {}", path.display()))
}
