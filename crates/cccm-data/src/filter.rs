//! Which combinations of a dataset are used: the seen ones to train with, the held out ones to judge by.

use std::collections::BTreeSet;

use crate::{Combination, Error, Result};

/// Which combinations of a dataset are used.
///
/// ```
/// use cccm_data::{CombinationFilter, Preset};
///
/// let celeba = Preset::Celeba.vocabulary();
/// let held_out = celeba.parse_folders(["BlondHair_Male"])?;
/// let training = CombinationFilter::Except(held_out.clone());
/// let judging = CombinationFilter::Only(held_out);
/// assert!(celeba.combinations().all(|combination| training.keeps(combination) != judging.keeps(combination)));
/// # Ok::<(), cccm_data::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CombinationFilter {
    /// All combinations but these, which are held out.
    Except(BTreeSet<Combination>),
    /// These combinations and no others.
    Only(BTreeSet<Combination>),
}

impl CombinationFilter {
    /// The filter that holds nothing out.
    pub const fn all() -> Self {
        Self::Except(BTreeSet::new())
    }

    /// Whether images of `combination` are used.
    pub fn keeps(&self, combination: Combination) -> bool {
        match self {
            Self::Except(combinations) => !combinations.contains(&combination),
            Self::Only(combinations) => combinations.contains(&combination),
        }
    }

    /// The combinations that the filter names.
    pub const fn named(&self) -> &BTreeSet<Combination> {
        match self {
            Self::Except(combinations) | Self::Only(combinations) => combinations,
        }
    }

    /// Those of `combinations` that are used.
    ///
    /// # Errors
    /// [`Error::AllHeldOut`] when that is none of them.
    pub(crate) fn kept(
        &self,
        combinations: impl IntoIterator<Item = Combination>,
    ) -> Result<Vec<Combination>> {
        let (kept, held_out): (Vec<_>, Vec<_>) =
            combinations.into_iter().partition(|&combination| self.keeps(combination));
        if kept.is_empty() {
            return Err(Error::AllHeldOut { combinations: held_out.len() });
        }
        Ok(kept)
    }
}
