//! Tables before they are written down.

use crate::rows::Report;

/// Shown in place of a missing number.
pub(crate) const NOTHING: &str = "·";

/// A table: its header and its rows, the first column to be read from the left.
pub(crate) struct Table {
    pub(crate) header: Vec<String>,
    pub(crate) rows: Vec<Vec<String>>,
}

/// The guidance scale, if all rows have the same.
pub(crate) fn scales(report: &Report) -> Option<f64> {
    let mut all = report.models.iter().flat_map(|model| &model.rows).map(|row| row.guidance_scale);
    let first = all.next()?;
    all.all(|scale| scale == first).then_some(first)
}
