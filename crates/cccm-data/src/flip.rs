//! Mirrored images: which may be, and which are.

use std::collections::BTreeSet;

use rand::RngCore as _;

use cccm_labels::{Combination, Error, Vocabulary, listed, nearest};

use crate::{
    Result,
    random::{self, Purpose},
};

/// Mirrors images left to right as they are drawn, each with probability one half, except images whose label
/// would be wrong in the mirror, such as digits.
///
/// ```
/// use cccm_data::{Flip, Vocabulary};
///
/// let vocabulary = Vocabulary::of_pairs(vec!["left", "right", "front"], vec!["hand"])?;
/// let flip = Flip::except(&vocabulary, ["left", "right"])?;
/// assert!(flip.mirrors(&vocabulary.combination(&["front", "hand"])?));
/// assert!(!flip.mirrors(&vocabulary.combination(&["left", "hand"])?));
/// # Ok::<(), cccm_data::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Flip {
    /// Labels whose images stay as they are: the place of the kind, and the index of the label.
    pub kept: BTreeSet<(usize, u32)>,
}

impl Flip {
    /// Mirrors images of every combination but those that have one of these labels. A name that several kinds have means all of
    /// them.
    ///
    /// # Errors
    /// [`Error::NoSuchLabel`], with the label probably meant, for a name that no kind has.
    pub fn except<S: AsRef<str>>(
        vocabulary: &Vocabulary,
        labels: impl IntoIterator<Item = S>,
    ) -> Result<Self> {
        let mut flip = Self::default();
        for label in labels {
            let label = label.as_ref();
            let kinds = vocabulary.kinds().iter().enumerate();
            let mut found = kinds.filter_map(|(place, kind)| Some((place, kind.position(label)?))).peekable();
            if found.peek().is_none() {
                return Err(no_such_label(vocabulary, label).into());
            }
            flip.kept.extend(found);
        }
        Ok(flip)
    }

    /// Whether images of `combination` may be mirrored.
    pub fn mirrors(&self, combination: &Combination) -> bool {
        !combination.iter().enumerate().any(|(place, label)| self.kept.contains(&(place, *label)))
    }
}

fn no_such_label(vocabulary: &Vocabulary, got: &str) -> Error {
    let names = || vocabulary.kinds().iter().flat_map(|kind| &kind.names);
    Error::NoSuchLabel {
        got: got.to_owned(),
        nearest: nearest(got, names()),
        known: listed(&names().collect::<Vec<_>>()),
    }
}

/// One coin toss for each of `count` consecutive places of an epoch, from `place` on. The toss of a place
/// does not depend on the batch, the part of a batch or the thread that it belongs to.
pub(crate) fn tosses(seed: u64, epoch: usize, place: usize, count: usize) -> Vec<bool> {
    let mut rng = random::stream(seed, Purpose::Flip, epoch as u64);
    // A word of the stream for each place.
    rng.set_word_pos(place as u128);
    (0..count).map(|_| rng.next_u32() >> 31 == 1).collect()
}

/// Mirrors an image of planes whose rows have `width` values.
pub(crate) fn mirror(image: &mut [f32], width: usize) {
    image.chunks_exact_mut(width).for_each(<[f32]>::reverse);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Preset;

    #[test]
    fn a_place_has_its_toss_whatever_is_asked_with_it() {
        let whole = tosses(3, 5, 0, 200);
        for (place, count) in [(0, 1), (1, 63), (15, 2), (64, 136), (199, 1), (7, 0)] {
            assert_eq!(tosses(3, 5, place, count), whole[place..place + count]);
        }
        assert_ne!(tosses(3, 6, 0, 200), whole);
        assert_ne!(tosses(4, 5, 0, 200), whole);
    }

    #[test]
    fn half_of_the_tosses_mirror() {
        let heads = tosses(0, 0, 0, 100_000).into_iter().filter(|toss| *toss).count();
        // Six standard deviations are 949.
        assert!(heads.abs_diff(50_000) < 949, "{heads}");
    }

    #[test]
    fn rows_are_turned_around_and_stay_where_they_are() {
        let mut image = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
        mirror(&mut image, 3);
        assert_eq!(image, [3.0, 2.0, 1.0, 6.0, 5.0, 4.0]);
    }

    #[test]
    fn labels_of_both_kinds_are_kept() -> Result<()> {
        let vocabulary = Vocabulary::of_pairs(vec!["a", "b", "7"], vec!["6", "7"])?;
        let flip = Flip::except(&vocabulary, ["7", "b"])?;
        let mirrored: Vec<String> = vocabulary
            .combinations()
            .filter(|combination| flip.mirrors(combination))
            .map(|combination| vocabulary.folder_name(&combination))
            .collect();
        assert_eq!(mirrored, ["a_6"]);
        assert!(vocabulary.combinations().all(|combination| Flip::default().mirrors(&combination)));
        Ok(())
    }

    #[test]
    fn misspelt_label_names_the_one_that_was_meant() {
        let celeba = Preset::Celeba.vocabulary();
        let error = Flip::except(&celeba, ["Female", "Feemale"]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "no label is named `Feemale`, did you mean `Female`?; known: BrownHair, BlondHair, GrayHair, BlackHair, \
             Male, Female"
        );
    }
}
