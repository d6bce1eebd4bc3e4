//! From numbers to places: the range of an axis, and its ticks.

/// How numbers are spread over an axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// Equal steps are equally far apart.
    Linear,
    /// Equal factors have equal lengths.
    Log,
    /// For shares: a logarithmic scale of what is missing from 1, which gives more room to shares near 1. A
    /// little is added to what is missing, so that 1 itself has a place.
    Share,
}

/// Added to what is missing from 1.
const FLOOR: f64 = 0.02;
const SHARE_TICKS: [f64; 7] = [0.0, 0.5, 0.8, 0.9, 0.95, 0.98, 1.0];

/// Ticks that an axis has, about.
const TICKS: f64 = 5.0;
/// Steps between ticks, times a power of ten.
const STEPS: [f64; 3] = [1.0, 2.0, 5.0];
/// Free room at either end of a logarithmic axis, as a share of its length.
const LOG_MARGIN: f64 = 0.06;

/// One axis.
#[derive(Clone, Debug)]
pub struct Axis {
    /// What is on it.
    pub label: String,
    scale: Scale,
    range: (f64, f64),
    ticks: Vec<(f64, String)>,
}

impl Axis {
    /// An axis that shows these numbers, with round ticks. Numbers that the scale cannot show are ignored.
    pub fn fitting(label: &str, scale: Scale, values: impl IntoIterator<Item = f64>) -> Self {
        let (low, high) = extent(scale, values);
        match scale {
            Scale::Linear => Self::linear(label, low, high),
            Scale::Share => Self::shares(label, low),
            Scale::Log => {
                let range = with_margin(low, high);
                Self { label: label.to_owned(), scale, range, ticks: log_ticks(range) }
            }
        }
    }

    /// A logarithmic axis of some few numbers, each with its tick.
    pub fn of_numbers(label: &str, numbers: &[usize]) -> Self {
        let values = || numbers.iter().map(|number| *number as f64);
        let (low, high) = extent(Scale::Log, values());
        let ticks = numbers.iter().map(|number| (*number as f64, number.to_string())).collect();
        Self { label: label.to_owned(), scale: Scale::Log, range: with_margin(low, high), ticks }
    }

    /// From the last tick below all numbers to 1.
    fn shares(label: &str, low: f64) -> Self {
        let first = SHARE_TICKS.iter().rposition(|tick| *tick <= low).unwrap_or(0).min(SHARE_TICKS.len() - 2);
        let ticks = SHARE_TICKS[first..].iter().map(|tick| (*tick, tick.to_string()));
        Self {
            label: label.to_owned(),
            scale: Scale::Share,
            range: (SHARE_TICKS[first], 1.0),
            ticks: ticks.collect(),
        }
    }

    fn linear(label: &str, low: f64, high: f64) -> Self {
        let (step, decimals) = round_step((high - low) / TICKS);
        let (first, last) = ((low / step + 1e-9).floor(), (high / step - 1e-9).ceil().max(1.0));
        let last = if last <= first { first + 1.0 } else { last };
        let ticks = (0..=(last - first) as usize).map(|n| {
            let value = (first + n as f64) * step;
            (value, format!("{value:.decimals$}").replace("-0.0", "0.0"))
        });
        Self {
            label: label.to_owned(),
            scale: Scale::Linear,
            range: (first * step, last * step),
            ticks: ticks.collect(),
        }
    }

    /// Where a number lies, from 0 to 1 in the range of the axis; none if it has no place.
    pub(super) fn place(&self, value: f64) -> Option<f64> {
        let on = |value: f64| match self.scale {
            Scale::Linear => value,
            Scale::Log => value.ln(),
            Scale::Share => -(1.0 - value + FLOOR).ln(),
        };
        let (low, high) = (on(self.range.0), on(self.range.1));
        Some((on(value) - low) / (high - low)).filter(|place| place.is_finite())
    }

    /// Places and texts of the ticks.
    pub(super) fn ticks(&self) -> impl Iterator<Item = (f64, &str)> {
        self.ticks.iter().filter_map(|(value, text)| Some((self.place(*value)?, text.as_str())))
    }
}

/// The smallest and the largest; of nothing, some range.
fn extent(scale: Scale, values: impl IntoIterator<Item = f64>) -> (f64, f64) {
    let shown = |value: &f64| value.is_finite() && (scale != Scale::Log || *value > 0.0);
    let (low, high) = values
        .into_iter()
        .filter(shown)
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)));
    match scale {
        _ if low > high => (1.0, 10.0),
        Scale::Linear if low == high => (low - 0.5, high + 0.5),
        Scale::Log if low == high => (low / 2.0, high * 2.0),
        _ => (low, high),
    }
}

fn with_margin(low: f64, high: f64) -> (f64, f64) {
    let factor = (high / low).powf(LOG_MARGIN);
    (low / factor, high * factor)
}

/// The smallest round step that is no smaller than this; and the decimals that its multiples need.
fn round_step(least: f64) -> (f64, usize) {
    let mut exponent = least.log10().floor() as i32;
    let step =
        STEPS.iter().map(|step| step * 10f64.powi(exponent)).find(|step| *step >= least * (1.0 - 1e-9));
    let step = step.unwrap_or_else(|| {
        exponent += 1;
        10f64.powi(exponent)
    });
    (step, (-exponent).max(0) as usize)
}

/// Powers of ten with their doubles and halves; over many decades the powers alone.
fn log_ticks((low, high): (f64, f64)) -> Vec<(f64, String)> {
    let steps = if (high / low).log10() > 2.5 { &STEPS[..1] } else { &STEPS[..] };
    let (first, last) = (low.log10().floor() as i32, high.log10().ceil() as i32);
    let ticks = (first..=last).flat_map(|exponent| {
        let decimals = (-exponent).max(0) as usize;
        steps.iter().map(move |step| {
            let value = step * 10f64.powi(exponent);
            (value, format!("{value:.decimals$}"))
        })
    });
    ticks.filter(|(value, _)| (low..=high).contains(value)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(axis: &Axis) -> Vec<&str> {
        axis.ticks().map(|(_, text)| text).collect()
    }

    fn fitting(scale: Scale, values: &[f64]) -> Axis {
        Axis::fitting("", scale, values.iter().copied())
    }

    #[test]
    fn linear_ticks_are_round_and_enclose_the_numbers() {
        assert_eq!(texts(&fitting(Scale::Linear, &[0.0, 1.0])), ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
        assert_eq!(
            texts(&fitting(Scale::Linear, &[0.94, 0.99])),
            ["0.94", "0.95", "0.96", "0.97", "0.98", "0.99"]
        );
        assert_eq!(texts(&fitting(Scale::Linear, &[1.0, 1000.0])), ["0", "200", "400", "600", "800", "1000"]);
        assert_eq!(texts(&fitting(Scale::Linear, &[-0.3, 0.3])), ["-0.4", "-0.2", "0.0", "0.2", "0.4"]);
        assert_eq!(texts(&fitting(Scale::Linear, &[7.0])), ["6.4", "6.6", "6.8", "7.0", "7.2", "7.4", "7.6"]);
    }

    #[test]
    fn logarithmic_ticks_are_round() {
        assert_eq!(texts(&fitting(Scale::Log, &[12.0, 250.0])), ["20", "50", "100", "200"]);
        assert_eq!(texts(&fitting(Scale::Log, &[0.001, 2.0])), ["0.001", "0.01", "0.1", "1"]);
        let steps = Axis::of_numbers("", &[1, 2, 4, 100]);
        assert_eq!(texts(&steps), ["1", "2", "4", "100"]);
        let places: Vec<f64> = steps.ticks().map(|(place, _)| place).collect();
        assert!((places[1] - places[0] - (places[2] - places[1])).abs() < 1e-12);
        assert!(places[0] > 0.0 && places[3] < 1.0);
    }

    #[test]
    fn shares_have_more_room_near_one() {
        let axis = fitting(Scale::Share, &[0.85, 0.99]);
        assert_eq!(texts(&axis), ["0.8", "0.9", "0.95", "0.98", "1"]);
        assert_eq!((axis.place(0.8), axis.place(1.0)), (Some(0.0), Some(1.0)));
        let place = |share| axis.place(share).unwrap();
        assert!(place(0.98) - place(0.95) > place(0.85) - place(0.82));
        assert_eq!(texts(&fitting(Scale::Share, &[0.1]))[0], "0");
        assert_eq!(texts(&fitting(Scale::Share, &[1.0])), ["0.98", "1"]);
    }

    #[test]
    fn what_has_no_place_has_none() {
        let axis = fitting(Scale::Log, &[1.0, 10.0, 0.0, f64::NAN, f64::INFINITY]);
        assert!(axis.place(0.0).is_none() && axis.place(f64::NAN).is_none() && axis.place(-1.0).is_none());
        assert!((axis.place(10f64.sqrt()).unwrap() - 0.5).abs() < 1e-12);
        assert!(
            !texts(&fitting(Scale::Linear, &[])).is_empty() && !texts(&fitting(Scale::Log, &[])).is_empty()
        );
    }
}
