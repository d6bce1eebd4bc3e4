//! Fusion schedules: the teacher's share `c_t` of the distillation target over training.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// How the teacher's share `c_t` of the target moves over training; the rest comes from real data.
///
/// Text form, in flags and files: `piecewise 0.2:0.5 0.8:0.1`, `exponential 2`, `switch 0.4`, `only_teacher`,
/// `only_ode`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum FuseSchedule {
    /// The teacher alone: `c_t = 1`.
    OnlyTeacher,
    /// Real data alone: `c_t = 0`. "ODE" is the published flag's word for the diffusion-formulated point.
    OnlyOde,
    /// 1 while progress is below the given point, then 0.
    Switch(f64),
    /// `exp(-rate progress) (1 - progress)`, rate at least 0.
    Exponential(f64),
    /// Linear between `(progress, weight)` knots, starting at `(0, 1)`, holding the last weight.
    Piecewise(Vec<(f64, f64)>),
}

impl Default for FuseSchedule {
    /// Linear decay, `piecewise 1:0`.
    fn default() -> Self {
        Self::Piecewise(vec![(1.0, 0.0)])
    }
}

impl FuseSchedule {
    /// The teacher's share in `[0, 1]` at `progress` in `[0, 1]`.
    pub fn weight(&self, progress: f64) -> f64 {
        match self {
            Self::OnlyTeacher => 1.0,
            Self::OnlyOde => 0.0,
            Self::Switch(at) => f64::from(progress < *at),
            Self::Exponential(rate) => (-rate * progress).exp() * (1.0 - progress),
            Self::Piecewise(knots) => piecewise(knots, progress),
        }
    }
}

fn piecewise(knots: &[(f64, f64)], progress: f64) -> f64 {
    let mut from = (0.0, 1.0);
    for &to in knots {
        if (from.0..to.0).contains(&progress) {
            let slope = (progress - from.0) / (to.0 - from.0);
            return round_to_4_decimals(from.1 + (to.1 - from.1) * slope);
        }
        from = to;
    }
    from.1
}

/// Decimal rounding of the exact value, ties to even, as Python's `round(x, 4)`; multiplying by 10⁴ first would
/// round twice.
fn round_to_4_decimals(x: f64) -> f64 {
    format!("{x:.4}").parse().unwrap_or(x)
}

impl fmt::Display for FuseSchedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OnlyTeacher => f.write_str("only_teacher"),
            Self::OnlyOde => f.write_str("only_ode"),
            Self::Switch(at) => write!(f, "switch {at}"),
            Self::Exponential(rate) => write!(f, "exponential {rate}"),
            Self::Piecewise(knots) => {
                f.write_str("piecewise")?;
                knots.iter().try_for_each(|(progress, weight)| write!(f, " {progress}:{weight}"))
            }
        }
    }
}

impl FromStr for FuseSchedule {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        parse(text).map_err(|reason| Error::ParseFuse { text: text.to_owned(), reason })
    }
}

impl TryFrom<String> for FuseSchedule {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<FuseSchedule> for String {
    fn from(schedule: FuseSchedule) -> Self {
        schedule.to_string()
    }
}

fn parse(text: &str) -> Result<FuseSchedule, String> {
    let mut words = text.split_whitespace();
    let name = words.next().ok_or("it is empty")?;
    let args: Vec<&str> = words.collect();
    let one = |what| match args.as_slice() {
        [arg] => number(arg),
        _ => Err(format!("`{name}` takes one number, {what}")),
    };
    let none = |schedule| match args.as_slice() {
        [] => Ok(schedule),
        [arg, ..] => Err(format!("`{name}` takes nothing behind it, got `{arg}`")),
    };
    match name {
        "only_teacher" => none(FuseSchedule::OnlyTeacher),
        "only_ode" => none(FuseSchedule::OnlyOde),
        "switch" => share(one("the progress at which to switch")?, "progress").map(FuseSchedule::Switch),
        "exponential" => match one("the rate of decay")? {
            rate if rate >= 0.0 => Ok(FuseSchedule::Exponential(rate)),
            rate => Err(format!("rate {rate} must be at least 0")),
        },
        "piecewise" if args.is_empty() => Ok(FuseSchedule::default()),
        "piecewise" => parse_knots(&args).map(FuseSchedule::Piecewise),
        _ => Err(format!("there is no schedule `{name}`")),
    }
}

fn parse_knots(args: &[&str]) -> Result<Vec<(f64, f64)>, String> {
    let mut knots: Vec<(f64, f64)> = Vec::with_capacity(args.len());
    for arg in args {
        let (progress, weight) = arg.split_once(':').ok_or(format!("knot `{arg}` lacks a colon"))?;
        let knot = (share(number(progress)?, "progress")?, share(number(weight)?, "weight")?);
        if knots.last().is_some_and(|last| knot.0 <= last.0) {
            return Err(format!("knot `{arg}` does not come after the one before it"));
        }
        knots.push(knot);
    }
    Ok(knots)
}

fn number(text: &str) -> Result<f64, String> {
    text.parse().ok().filter(|x: &f64| x.is_finite()).ok_or(format!("`{text}` is not a finite number"))
}

fn share(x: f64, what: &str) -> Result<f64, String> {
    if (0.0..=1.0).contains(&x) { Ok(x) } else { Err(format!("{what} {x} is outside 0 to 1")) }
}

/// Training progress as the fusion schedule sees it: constant within an epoch, rising from one to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FuseClock {
    stretches: u64,
    stretch_steps: Stretch,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stretch {
    Epochs { steps_per_epoch: u64 },
    Shares { total_steps: u64 },
}

impl FuseClock {
    /// A run limited by steps that has fewer epochs than this is divided into this many equal stretches
    /// instead.
    const MIN_STRETCHES: u64 = 20;

    /// Progress over a run of `epochs` epochs; both counts at least 1.
    pub fn by_epochs(epochs: u64, steps_per_epoch: u64) -> Self {
        let stretch_steps = Stretch::Epochs { steps_per_epoch: steps_per_epoch.max(1) };
        Self { stretches: epochs.max(1), stretch_steps }
    }

    /// Progress over a run of `total_steps` steps: by its epochs, or in 20 equal stretches if those are fewer.
    pub fn by_steps(total_steps: u64, steps_per_epoch: u64) -> Self {
        let epochs = total_steps.div_ceil(steps_per_epoch.max(1));
        if epochs >= Self::MIN_STRETCHES {
            return Self::by_epochs(epochs, steps_per_epoch);
        }
        let stretch_steps = Stretch::Shares { total_steps: total_steps.max(1) };
        Self { stretches: Self::MIN_STRETCHES, stretch_steps }
    }

    /// Progress in `(0, 1]` during `step`, counted from 0: the share of the stretches that have begun.
    pub fn progress(&self, step: u64) -> f64 {
        let finished = match self.stretch_steps {
            Stretch::Epochs { steps_per_epoch } => step / steps_per_epoch,
            Stretch::Shares { total_steps } => step * self.stretches / total_steps,
        };
        (finished + 1).min(self.stretches) as f64 / self.stretches as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn malformed_text_says_what_is_wrong() {
        for (text, reason) in [
            ("", "empty"),
            ("linear", "no schedule `linear`"),
            ("switch", "takes one number"),
            ("switch 1.5", "outside 0 to 1"),
            ("switch nan", "not a finite number"),
            ("exponential -1", "at least 0"),
            ("only_ode 3", "takes nothing"),
            ("piecewise 0.5", "lacks a colon"),
            ("piecewise 0.5:0.2 0.4:0.1", "does not come after"),
            ("piecewise 0.5:2", "outside 0 to 1"),
        ] {
            let error = text.parse::<FuseSchedule>().unwrap_err().to_string();
            assert!(error.contains(reason) && error.contains("only_teacher"), "{text:?}: {error}");
        }
    }

    #[test]
    fn piecewise_without_knots_is_linear_decay() {
        assert_eq!("piecewise".parse::<FuseSchedule>().unwrap(), FuseSchedule::default());
        assert_eq!(FuseSchedule::default().to_string(), "piecewise 1:0");
    }

    #[test]
    fn clock_counts_epochs_from_1() {
        let clock = FuseClock::by_epochs(4, 10);
        assert_eq!([0, 9, 10, 39, 40].map(|step| clock.progress(step)), [0.25, 0.25, 0.5, 1.0, 1.0]);
    }

    #[test]
    fn a_short_run_moves_in_20_stretches() {
        let clock = FuseClock::by_steps(100, 50);
        assert_eq!([0, 4, 5, 99].map(|step| clock.progress(step)), [0.05, 0.05, 0.1, 1.0]);
        assert_eq!(FuseClock::by_steps(100, 5), FuseClock::by_epochs(20, 5));
        assert_eq!(FuseClock::by_steps(101, 5), FuseClock::by_epochs(21, 5));
    }

    proptest! {
        #[test]
        fn text_round_trips(a in 0.0f64..0.5, b in 0.5f64..=1.0, v in 0.0f64..=1.0, rate in 0.0f64..20.0) {
            use FuseSchedule::{Exponential, OnlyOde, OnlyTeacher, Piecewise, Switch};
            for schedule in [OnlyOde, OnlyTeacher, Switch(v), Exponential(rate), Piecewise(vec![(a, v), (b, a)])] {
                prop_assert_eq!(schedule.to_string().parse::<FuseSchedule>().unwrap(), schedule);
            }
        }

        #[test]
        fn weights_stay_in_0_to_1(progress in 0.0f64..=1.0, p in 0.01f64..=1.0, v in 0.0f64..=1.0, rate in 0.0f64..20.0) {
            use FuseSchedule::{Exponential, Piecewise, Switch};
            for schedule in [Switch(p), Exponential(rate), Piecewise(vec![(p, v)])] {
                prop_assert!((0.0..=1.0).contains(&schedule.weight(progress)));
            }
        }
    }
}
