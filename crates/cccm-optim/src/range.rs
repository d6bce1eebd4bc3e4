//! Ranges of settings.

use std::ops::{Range, RangeBounds};

use crate::{Error, Result};

/// Finite and above 0.
pub(crate) const POSITIVE: Range<f64> = f64::MIN_POSITIVE..f64::INFINITY;
/// Finite and at least 0.
pub(crate) const NOT_NEGATIVE: Range<f64> = 0.0..f64::INFINITY;

/// Fails unless the setting `field` lies in `range`, which `want` describes. NaN never does.
pub(crate) fn check_range(
    field: &'static str,
    got: f64,
    range: impl RangeBounds<f64>,
    want: &'static str,
) -> Result<()> {
    if range.contains(&got) { Ok(()) } else { Err(Error::InvalidConfig { field, got, want }) }
}
