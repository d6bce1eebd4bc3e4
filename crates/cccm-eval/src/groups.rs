//! Rows by their group: the pair of labels that each was drawn for.

use std::collections::BTreeMap;

use crate::rows::Rows;
use crate::{Error, Result};

/// The rows of each group, in order.
pub(crate) fn rows_by_group(rows: &Rows, groups: &[usize]) -> Result<BTreeMap<usize, Vec<usize>>> {
    if groups.len() != rows.len() {
        return Err(Error::Groups { what: rows.what(), got: groups.len(), want: rows.len() });
    }
    let mut by_group = BTreeMap::<usize, Vec<usize>>::new();
    for (row, group) in groups.iter().enumerate() {
        by_group.entry(*group).or_default().push(row);
    }
    Ok(by_group)
}
