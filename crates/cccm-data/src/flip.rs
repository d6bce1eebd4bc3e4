//! Mirrored images: which may be, and which are.

use std::collections::BTreeSet;

use rand::RngCore as _;

use crate::{
    Error, Pair, Result, Vocabulary,
    nearest::nearest,
    random::{self, Purpose},
    vocabulary::listed,
};

/// Mirrors images left to right as they are drawn, each with probability one half, but for those whose labels a mirror would
/// make wrong, as it does a digit's.
///
/// ```
/// use cccm_data::{Flip, Vocabulary};
///
/// let vocabulary = Vocabulary::new(["left", "right", "front"], ["hand"])?;
/// let flip = Flip::except(&vocabulary, ["left", "right"])?;
/// assert!(flip.mirrors(vocabulary.pair("front", "hand")?));
/// assert!(!flip.mirrors(vocabulary.pair("left", "hand")?));
/// # Ok::<(), cccm_data::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Flip {
    /// Attributes whose images stay as they are, as indices into the vocabulary.
    pub kept_attributes: BTreeSet<u32>,
    /// Objects whose images stay as they are, as indices into the vocabulary.
    pub kept_objects: BTreeSet<u32>,
}

impl Flip {
    /// Mirrors images of every pair but those that have one of these labels. A name that is both an attribute and an object
    /// means both.
    ///
    /// # Errors
    /// [`Error::NoSuchLabel`], with the label probably meant, for a name that is neither.
    pub fn except<S: AsRef<str>>(
        vocabulary: &Vocabulary,
        labels: impl IntoIterator<Item = S>,
    ) -> Result<Self> {
        let mut flip = Self::default();
        for label in labels {
            let label = label.as_ref();
            let index =
                |names: &[String]| names.iter().position(|name| name == label).map(|index| index as u32);
            let (attribute, object) = (index(&vocabulary.attributes), index(&vocabulary.objects));
            if attribute.is_none() && object.is_none() {
                return Err(no_such_label(vocabulary, label));
            }
            flip.kept_attributes.extend(attribute);
            flip.kept_objects.extend(object);
        }
        Ok(flip)
    }

    /// Whether images of `pair` may be mirrored.
    pub fn mirrors(&self, pair: Pair) -> bool {
        !self.kept_attributes.contains(&pair.attribute) && !self.kept_objects.contains(&pair.object)
    }
}

fn no_such_label(vocabulary: &Vocabulary, got: &str) -> Error {
    let names = || vocabulary.attributes.iter().chain(&vocabulary.objects);
    Error::NoSuchLabel {
        got: got.to_owned(),
        nearest: nearest(got, names()),
        known: listed(&names().collect::<Vec<_>>()),
    }
}

/// One toss of a coin for each of `count` places of an epoch in a row, the first of them `place`. A place has the same toss
/// whichever batch, part of a batch or thread it belongs to.
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
        let vocabulary = Vocabulary::new(["a", "b", "7"], ["6", "7"])?;
        let flip = Flip::except(&vocabulary, ["7", "b"])?;
        let mirrored: Vec<String> = vocabulary
            .pairs()
            .filter(|pair| flip.mirrors(*pair))
            .map(|pair| vocabulary.folder_name(pair))
            .collect();
        assert_eq!(mirrored, ["a_6"]);
        assert!(vocabulary.pairs().all(|pair| Flip::default().mirrors(pair)));
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
