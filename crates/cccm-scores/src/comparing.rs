//! What all comparisons have in common.

/// Rows that a distance needs on either side.
pub(crate) const MIN_ROWS: usize = 8;
/// Seed of subsets and resamples, the same for every score so that scores differ by pictures alone.
pub(crate) const SEED: u64 = 0;
