//! Which pairs of a dataset are used: the seen ones to train with, the held out ones to judge by.

use std::collections::BTreeSet;

use crate::{Error, Pair, Result};

/// Which pairs of a dataset are used.
///
/// ```
/// use cccm_data::{PairFilter, Preset};
///
/// let celeba = Preset::Celeba.vocabulary();
/// let held_out = celeba.parse_folders(["BlondHair_Male"])?;
/// let training = PairFilter::Except(held_out.clone());
/// let judging = PairFilter::Only(held_out);
/// assert!(celeba.pairs().all(|pair| training.keeps(pair) != judging.keeps(pair)));
/// # Ok::<(), cccm_data::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PairFilter {
    /// All pairs but these, which are held out.
    Except(BTreeSet<Pair>),
    /// These pairs and no others.
    Only(BTreeSet<Pair>),
}

impl PairFilter {
    /// The filter that holds nothing out.
    pub const fn all() -> Self {
        Self::Except(BTreeSet::new())
    }

    /// Whether images of `pair` are used.
    pub fn keeps(&self, pair: Pair) -> bool {
        match self {
            Self::Except(pairs) => !pairs.contains(&pair),
            Self::Only(pairs) => pairs.contains(&pair),
        }
    }

    /// The pairs that the filter names.
    pub const fn named(&self) -> &BTreeSet<Pair> {
        match self {
            Self::Except(pairs) | Self::Only(pairs) => pairs,
        }
    }

    /// Those of `pairs` that are used.
    ///
    /// # Errors
    /// [`Error::AllHeldOut`] when that is none of them.
    pub(crate) fn kept(&self, pairs: impl IntoIterator<Item = Pair>) -> Result<Vec<Pair>> {
        let (kept, held_out): (Vec<_>, Vec<_>) = pairs.into_iter().partition(|&pair| self.keeps(pair));
        if kept.is_empty() {
            return Err(Error::AllHeldOut { pairs: held_out.len() });
        }
        Ok(kept)
    }
}
