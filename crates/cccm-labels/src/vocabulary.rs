//! The labels of a dataset or a model, kind by kind.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::nearest::nearest;
use crate::text::{form, listed, plural};
use crate::{Combination, Error, LabelKind, MAX_KINDS, Result};

/// The kinds of labels of a dataset or a model, in order, with their names. Trained networks depend on both orders.
///
/// In JSON it is the list of its kinds. Reading does not check: [`Vocabulary::validate`] does.
///
/// ```
/// use cccm_labels::{LabelKind, Vocabulary};
///
/// let cars = Vocabulary::new([
///     LabelKind::new("colour", ["Dark_Red", "Blue"]),
///     LabelKind::new("body", ["Car", "Bus"]),
///     LabelKind::new("size", ["small", "big"]),
/// ])?;
/// let bus = cars.parse_folder("Dark_Red_Bus_big")?;
/// assert_eq!(*bus, [0, 1, 1]);
/// assert_eq!(cars.folder_name(&bus), "Dark_Red_Bus_big");
/// assert_eq!(cars.combinations().count(), 8);
/// # Ok::<(), cccm_labels::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Vocabulary {
    kinds: Vec<LabelKind>,
}

impl Vocabulary {
    /// The vocabulary of these kinds, in this order.
    ///
    /// # Errors
    /// As [`Vocabulary::validate`].
    pub fn new(kinds: impl IntoIterator<Item = LabelKind>) -> Result<Self> {
        let vocabulary = Self::unchecked(kinds);
        vocabulary.validate()?;
        Ok(vocabulary)
    }

    /// The same as [`Vocabulary::new`], without its checks: for kinds that are checked elsewhere.
    pub fn unchecked(kinds: impl IntoIterator<Item = LabelKind>) -> Self {
        Self { kinds: kinds.into_iter().collect() }
    }

    /// A vocabulary of two kinds under their published names, attribute and object.
    ///
    /// # Errors
    /// As [`Vocabulary::validate`].
    pub fn of_pairs<S: Into<String>>(
        attributes: impl IntoIterator<Item = S>,
        objects: impl IntoIterator<Item = S>,
    ) -> Result<Self> {
        Self::new([LabelKind::new("attribute", attributes), LabelKind::new("object", objects)])
    }

    /// Checks that there are one to [`MAX_KINDS`] kinds of different names, and each of them by [`LabelKind::validate`].
    ///
    /// # Errors
    /// [`Error::KindCount`], [`Error::KindTwice`], [`Error::UnusableLabels`].
    pub fn validate(&self) -> Result<()> {
        if !(1..=MAX_KINDS).contains(&self.kinds.len()) {
            return Err(Error::KindCount { got: self.kinds.len() });
        }
        let mut seen = BTreeSet::new();
        self.kinds.iter().try_for_each(|kind| {
            kind.validate()?;
            let is_new = seen.insert(kind.kind.as_str());
            if is_new { Ok(()) } else { Err(Error::KindTwice { kind: kind.kind.clone() }) }
        })
    }

    /// The kinds, in order.
    pub fn kinds(&self) -> &[LabelKind] {
        &self.kinds
    }

    /// The kind of this name, and its place among the kinds.
    ///
    /// # Errors
    /// [`Error::UnknownKind`], with the kind probably meant.
    pub fn kind(&self, name: &str) -> Result<(usize, &LabelKind)> {
        let names = || self.kinds.iter().map(|kind| kind.kind.as_str());
        let place = names().position(|known| known == name).ok_or_else(|| Error::UnknownKind {
            got: name.to_owned(),
            nearest: nearest(name, names()),
            known: listed(&names().collect::<Vec<_>>()),
        })?;
        Ok((place, &self.kinds[place]))
    }

    /// Numbers of labels of each kind, null tokens not counted.
    pub fn counts(&self) -> Vec<usize> {
        self.kinds.iter().map(|kind| kind.names.len()).collect()
    }

    /// The combination that leaves every label out: the null token of each kind, which is its number of labels.
    ///
    /// # Panics
    /// When there are more than [`MAX_KINDS`] kinds, which [`Vocabulary::validate`] refuses.
    pub fn null(&self) -> Combination {
        Combination::new(self.kinds.iter().map(LabelKind::null))
    }

    /// How many combinations there are, at most [`usize::MAX`].
    pub fn combination_count(&self) -> usize {
        count_of(&self.kinds)
    }

    /// Every combination without null tokens, in their order: the last kind changes first.
    pub fn combinations(&self) -> impl Iterator<Item = Combination> + '_ {
        combinations_of(&self.kinds)
    }

    /// The place of a combination among [`Vocabulary::combinations`].
    pub fn place_of(&self, combination: &[u32]) -> usize {
        let labels = self.kinds.iter().zip(combination);
        labels.fold(0, |place, (kind, label)| place * kind.names.len() + *label as usize)
    }

    /// The combination of these labels, one of each kind.
    ///
    /// # Errors
    /// [`Error::UnknownLabel`], with the label probably meant; [`Error::KindCount`] when there is not one for each kind.
    pub fn combination<S: AsRef<str>>(&self, labels: &[S]) -> Result<Combination> {
        if labels.len() != self.kinds.len() {
            return Err(Error::KindCount { got: labels.len() });
        }
        let indices: Result<Vec<u32>> =
            self.kinds.iter().zip(labels).map(|(kind, label)| kind.index_of(label.as_ref())).collect();
        Ok(Combination::new(indices?))
    }

    /// The combinations that a list of folder names spells.
    ///
    /// # Errors
    /// As [`Vocabulary::parse_folder`], for the first bad name.
    pub fn parse_folders<S: AsRef<str>>(
        &self,
        names: impl IntoIterator<Item = S>,
    ) -> Result<BTreeSet<Combination>> {
        names.into_iter().map(|name| self.parse_folder(name.as_ref())).collect()
    }

    /// The part of the vocabulary with this label alone in some kinds, and its indices in the whole.
    /// - `chosen`: per kind its label, or none for all
    pub fn narrowed(&self, chosen: &[Option<u32>]) -> (Self, Vec<Combination>) {
        let is_chosen = |combination: &Combination| {
            chosen
                .iter()
                .zip(combination.iter())
                .all(|(chosen, label)| chosen.is_none_or(|chosen| chosen == *label))
        };
        let kinds = self.kinds.iter().zip(chosen).map(|(kind, chosen)| match chosen {
            Some(label) => LabelKind::new(&kind.kind, [kind.name_of(*label)]),
            None => kind.clone(),
        });
        (Self { kinds: kinds.collect() }, self.combinations().filter(is_chosen).collect())
    }

    /// Whether another vocabulary has the same labels in the same order, whatever their kinds are called.
    pub fn has_labels_of(&self, other: &Self) -> bool {
        self.kinds.len() == other.kinds.len()
            && self.kinds.iter().zip(&other.kinds).all(|(ours, theirs)| ours.has_names_of(theirs))
    }

    /// What names of folders look like, as `<attribute>_<object>`.
    pub fn form(&self) -> String {
        form(self.kinds.iter().map(|kind| kind.kind.as_str()))
    }

    /// All labels, kind by kind, for a message: of very many the first ones.
    pub fn summary(&self) -> String {
        let of = |kind: &LabelKind| format!("{}: {}", plural(&kind.kind), listed(&kind.names));
        self.kinds.iter().map(of).collect::<Vec<_>>().join("; ")
    }

    /// What one combination of this vocabulary is called: a pair where there are two kinds.
    pub fn noun(&self) -> &'static str {
        if self.kinds.len() == 2 { "pair" } else { "combination" }
    }
}

/// Every combination of some kinds; of no kinds, the empty one.
pub(crate) fn combinations_of(kinds: &[LabelKind]) -> impl Iterator<Item = Combination> + '_ {
    (0..count_of(kinds)).map(move |number| {
        let (mut rest, mut labels) = (number, [0; MAX_KINDS]);
        let labels = &mut labels[..kinds.len()];
        for (label, kind) in labels.iter_mut().zip(kinds).rev() {
            *label = (rest % kind.names.len()) as u32;
            rest /= kind.names.len();
        }
        Combination::new(labels.iter().copied())
    })
}

fn count_of(kinds: &[LabelKind]) -> usize {
    kinds.iter().fold(1, |count: usize, kind| count.saturating_mul(kind.names.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn three() -> Vocabulary {
        let kinds = [("colour", &["red", "blue"][..]), ("body", &["car"]), ("size", &["small", "big"])];
        Vocabulary::new(kinds.map(|(kind, names)| LabelKind::new(kind, names.iter().copied()))).unwrap()
    }

    #[test]
    fn combinations_are_in_order_and_know_their_place() {
        let three = three();
        let all: Vec<Combination> = three.combinations().collect();
        assert_eq!(all, [[0, 0, 0], [0, 0, 1], [1, 0, 0], [1, 0, 1]].map(Combination::from));
        assert!(all.is_sorted());
        for (place, combination) in all.iter().enumerate() {
            assert_eq!(three.place_of(combination), place);
        }
        assert_eq!((three.counts(), &*three.null()), (vec![2, 1, 2], &[2, 1, 2][..]));
    }

    #[test]
    fn kinds_and_labels_are_found_by_name() -> Result<()> {
        let three = three();
        assert_eq!(*three.combination(&["blue", "car", "big"])?, [1, 0, 1]);
        assert_eq!(three.kind("size")?.0, 2);
        let error = three.kind("color").unwrap_err().to_string();
        assert_eq!(
            error,
            "no kind of labels is called `color`, did you mean `colour`?; there are: colour, body, size"
        );
        assert!(three.combination(&["blue", "car"]).is_err());
        Ok(())
    }

    #[test]
    fn a_part_has_the_chosen_labels_alone() {
        let (part, combinations) = three().narrowed(&[Some(1), None, None]);
        assert_eq!(part.summary(), "colours: blue; bodies: car; sizes: small, big");
        assert_eq!(combinations, [[1, 0, 0], [1, 0, 1]].map(Combination::from));
    }

    #[test]
    fn numbers_of_kinds_are_bounded_and_their_names_differ() {
        let kinds = |count| (0..count).map(|place| LabelKind::new(format!("k{place}"), ["x"]));
        Vocabulary::new(kinds(MAX_KINDS)).unwrap();
        assert_eq!(Vocabulary::new(kinds(0)), Err(Error::KindCount { got: 0 }));
        assert_eq!(Vocabulary::new(kinds(9)), Err(Error::KindCount { got: 9 }));
        let twice = [LabelKind::new("k", ["x"]), LabelKind::new("k", ["y"])];
        assert_eq!(Vocabulary::new(twice), Err(Error::KindTwice { kind: "k".into() }));
        let many = |key: char| LabelKind::new(key, (0..300).map(|index| index.to_string()));
        let huge = Vocabulary::new(('a'..='h').map(many)).unwrap();
        assert_eq!(huge.combination_count(), usize::MAX);
    }

    #[test]
    fn survives_json_as_the_list_of_its_kinds() {
        let json = serde_json::to_value(three()).unwrap();
        assert_eq!(json[0], serde_json::json!({"kind": "colour", "names": ["red", "blue"]}));
        assert_eq!(serde_json::from_value::<Vocabulary>(json).unwrap(), three());
    }
}
