//! Rows by their group: the pair of labels that each was drawn for.

use std::collections::BTreeMap;

use rand::Rng;

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

/// How often each row occurs in a bootstrap resample (Efron 1979), which keeps the number of rows of each
/// group.
/// - `rows`: number of rows in all groups
/// - `rng`: the generator for a group
pub(crate) fn resampled<R: Rng>(
    by_group: &BTreeMap<usize, Vec<usize>>,
    rows: usize,
    rng: impl Fn(usize) -> R,
) -> Vec<u32> {
    let mut counts = vec![0; rows];
    for (group, members) in by_group {
        let mut rng = rng(*group);
        for _ in members {
            counts[members[rng.random_range(0..members.len())]] += 1;
        }
    }
    counts
}
