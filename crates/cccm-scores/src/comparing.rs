//! What all comparisons have in common.

use cccm_data::Pair;

/// Rows that a distance needs on either side.
pub(crate) const MIN_ROWS: usize = 8;
/// Seed of subsets and resamples, the same for every score so that scores differ by pictures alone.
pub(crate) const SEED: u64 = 0;

/// A number of its own for each pair.
pub(crate) fn group_of(pair: &Pair, objects: usize) -> usize {
    pair.attribute as usize * objects + pair.object as usize
}
