//! Which number a process has among those that train together.

/// Tells a process that another one started which number it has.
pub(super) const RANK: &str = "CCCM_RANK";

/// The number of this process, if another one started it.
pub fn rank_of_member() -> Option<usize> {
    std::env::var(RANK).ok()?.parse().ok().filter(|rank| *rank > 0)
}
