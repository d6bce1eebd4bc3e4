//! One label of each kind, as indices.

use std::fmt;
use std::ops::Deref;

/// The most kinds of labels that a vocabulary has. Data with more are not known; a bound makes a [`Combination`] a few bytes
/// that are copied.
pub const MAX_KINDS: usize = 8;

/// One label of each kind, as indices into a [`Vocabulary`](crate::Vocabulary), in the order of the kinds; a slice of them.
/// A pair is a combination of two kinds.
///
/// The index after a kind's last is its null token: that label is left out. Ordered by the first kind, then the second and so
/// on.
///
/// ```
/// use cccm_labels::Combination;
///
/// let red_car = Combination::from([0, 2]);
/// assert_eq!((red_car.len(), red_car[1]), (2, 2));
/// assert!(red_car < Combination::from([1, 0]));
/// ```
#[derive(Clone, Copy)]
pub struct Combination {
    /// Entries from `len` on are 0.
    labels: [u32; MAX_KINDS],
    len: u8,
}

impl Combination {
    /// The combination of these labels, one of each kind.
    ///
    /// # Panics
    /// When they are more than [`MAX_KINDS`].
    pub fn new(labels: impl IntoIterator<Item = u32>) -> Self {
        let mut combination = Self { labels: [0; MAX_KINDS], len: 0 };
        for label in labels {
            assert!(usize::from(combination.len) < MAX_KINDS, "a combination has at most {MAX_KINDS} labels");
            combination.labels[usize::from(combination.len)] = label;
            combination.len += 1;
        }
        combination
    }
}

impl Deref for Combination {
    type Target = [u32];

    fn deref(&self) -> &[u32] {
        &self.labels[..usize::from(self.len)]
    }
}

impl<const N: usize> From<[u32; N]> for Combination {
    fn from(labels: [u32; N]) -> Self {
        const { assert!(N <= MAX_KINDS, "a combination has at most 8 labels") };
        Self::new(labels)
    }
}

impl PartialEq for Combination {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Combination {}

impl PartialOrd for Combination {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Combination {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (**self).cmp(&**other)
    }
}

impl std::hash::Hash for Combination {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        (**self).hash(state);
    }
}

impl fmt::Debug for Combination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
