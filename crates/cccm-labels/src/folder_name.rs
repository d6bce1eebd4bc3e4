//! Names of folders that spell a combination: its labels in the order of the kinds, `_` or a space between them.

use std::collections::HashSet;

use crate::nearest::nearest;
use crate::spelling::spelling;
use crate::{Combination, Error, Result, Vocabulary};

/// Either of these stands between two labels.
const SEPARATORS: [char; 2] = ['_', ' '];
/// Readings of one name to look for at most: two already make it ambiguous, and an error lists a few.
const MOST_READINGS: usize = 4;

impl Vocabulary {
    /// The combination that a folder name spells, in whichever [`spelling`]. Labels may hold separators themselves; the vocabulary decides where the
    /// name splits.
    ///
    /// # Errors
    /// [`Error::UnknownCombination`], with the one probably meant; [`Error::AmbiguousCombination`] when the vocabulary allows
    /// several readings.
    pub fn parse_folder(&self, name: &str) -> Result<Combination> {
        let spelt = spelling(name);
        let mut reader =
            Reader { vocabulary: self, name: &spelt, dead_ends: HashSet::new(), readings: Vec::new() };
        reader.read(&mut Vec::new(), 0);
        match reader.readings[..] {
            [combination] => Ok(combination),
            [] => Err(Error::UnknownCombination {
                got: name.to_owned(),
                form: self.form(),
                nearest: nearest(name, self.combinations().map(|combination| self.folder_name(&combination))),
                labels: self.summary(),
            }),
            _ => {
                let told = reader.readings.iter().map(|reading| {
                    let labels = self.kinds().iter().zip(reading.iter());
                    let labels: Vec<_> =
                        labels.map(|(kind, label)| format!("`{}`", kind.name_of(*label))).collect();
                    labels.join(" and ")
                });
                let readings = told.collect::<Vec<_>>().join(" or ");
                Err(Error::AmbiguousCombination { got: name.to_owned(), readings })
            }
        }
    }

    /// The name of the folder with the images of a combination: its labels, `_` between them.
    pub fn folder_name(&self, combination: &[u32]) -> String {
        let labels: Vec<_> =
            self.kinds().iter().zip(combination).map(|(kind, label)| kind.name_of(*label)).collect();
        labels.join("_")
    }

    /// The labels of a name with exactly `kinds - 1` separators, none of them empty.
    pub fn split_plain(name: &str, kinds: usize) -> Option<Vec<&str>> {
        let labels: Vec<&str> = if kinds == 1 { vec![name] } else { name.split(SEPARATORS).collect() };
        (labels.len() == kinds && labels.iter().all(|label| !label.is_empty())).then_some(labels)
    }
}

/// Looks for all readings of a name, label by label.
struct Reader<'a> {
    vocabulary: &'a Vocabulary,
    name: &'a str,
    /// Kinds and places in the name from which no reading is possible. Without them, a malicious name would
    /// be read from the same place over and over.
    dead_ends: HashSet<(usize, usize)>,
    readings: Vec<Combination>,
}

impl Reader<'_> {
    /// Reads on behind the labels that are read, at a place in the name.
    fn read(&mut self, labels: &mut Vec<u32>, at: usize) {
        let (kind, rest) = (labels.len(), &self.name[at..]);
        if self.readings.len() >= MOST_READINGS || self.dead_ends.contains(&(kind, at)) {
            return;
        }
        let before = self.readings.len();
        let is_last = kind + 1 == self.vocabulary.kinds().len();
        for (index, label) in self.vocabulary.kinds()[kind].names.iter().enumerate() {
            let label = spelling(label);
            let Some(behind) = rest.strip_prefix(&*label) else { continue };
            labels.push(index as u32);
            if is_last {
                if behind.is_empty() {
                    self.readings.push(Combination::new(labels.iter().copied()));
                }
            } else if behind.starts_with(SEPARATORS) {
                self.read(labels, at + label.len() + 1);
            }
            labels.pop();
        }
        if self.readings.len() == before {
            self.dead_ends.insert((kind, at));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::LabelKind;

    fn vocabulary(kinds: &[&[&str]]) -> Vocabulary {
        let kind = |(place, names): (usize, &&[&str])| {
            LabelKind::new(crate::usual_kind(place), names.iter().copied())
        };
        Vocabulary::new(kinds.iter().enumerate().map(kind)).unwrap()
    }

    #[test]
    fn vocabulary_decides_where_a_name_splits() -> Result<()> {
        let pairs = vocabulary(&[&["Dark_Red", "Light Blue"], &["Big_Car", "Bus"]]);
        for (name, labels) in [
            ("Dark_Red_Big_Car", [0, 0]),
            ("Dark_Red Big_Car", [0, 0]),
            ("Light Blue_Bus", [1, 1]),
            ("Light Blue Bus", [1, 1]),
        ] {
            assert_eq!(pairs.parse_folder(name)?, labels.into(), "{name}");
        }
        Ok(())
    }

    #[test]
    fn every_combination_is_read_back_from_its_name() -> Result<()> {
        let (one, two): (&[&str], &[&str]) = (&["a", "b_c"], &["x y", "x"]);
        for kinds in [&[one][..], &[one, two], &[one, two, one], &[two, two, one, one]] {
            let vocabulary = vocabulary(kinds);
            let all: Vec<Combination> = vocabulary.combinations().collect();
            assert_eq!(all.len(), 1 << kinds.len());
            for combination in all {
                assert_eq!(vocabulary.parse_folder(&vocabulary.folder_name(&combination))?, combination);
            }
        }
        Ok(())
    }

    #[test]
    fn a_name_is_read_in_either_spelling() -> Result<()> {
        let composed = vocabulary(&[&["caf\u{e9}"], &["cup"]]);
        assert_eq!(composed.parse_folder("cafe\u{301}_cup")?, [0, 0].into());
        let kinds = [("attribute", "cafe\u{301}"), ("object", "cup")]
            .map(|(kind, name)| LabelKind { kind: kind.into(), names: vec![name.into()] });
        let decomposed = Vocabulary::unchecked(kinds);
        assert_eq!(decomposed.parse_folder("caf\u{e9}_cup")?, [0, 0].into());
        assert!(decomposed.has_labels_of(&composed));
        Ok(())
    }

    #[test]
    fn misspelt_folder_names_the_one_that_was_meant() {
        let pairs = vocabulary(&[&["Brown", "Blond"], &["Male", "Female"]]);
        assert_eq!(
            pairs.parse_folder("Blodn_Male").unwrap_err().to_string(),
            "`Blodn_Male` is not <attribute>_<object> of the vocabulary, did you mean `Blond_Male`?; \
             attributes: Brown, Blond; objects: Male, Female"
        );
        let three = vocabulary(&[&["red"], &["car"], &["big", "small"]]);
        assert_eq!(
            three.parse_folder("red_car_smal").unwrap_err().to_string(),
            "`red_car_smal` is not <attribute>_<object>_<label3> of the vocabulary, did you mean `red_car_small`?; \
             attributes: red; objects: car; label3s: big, small"
        );
    }

    #[test]
    fn unknown_folder_gets_no_far_fetched_guess() {
        let error =
            vocabulary(&[&["Heel", "Flat"], &["Boot", "Shoe"]]).parse_folder("thumbnails").unwrap_err();
        assert!(matches!(error, Error::UnknownCombination { nearest: None, .. }), "{error}");
    }

    #[test]
    fn several_readings_are_an_error() {
        let error = vocabulary(&[&["a", "a_b"], &["b_c", "c"]]).parse_folder("a_b_c").unwrap_err();
        assert!(matches!(error, Error::AmbiguousCombination { .. }));
        assert!(error.to_string().contains("`a` and `b_c` or `a_b` and `c`"), "{error}");
    }

    #[test]
    fn errors_of_very_many_labels_are_short_and_do_not_take_long() {
        let names = |key: char| (0..100_000).map(move |index| format!("{key}{index}"));
        let kinds = [LabelKind::new("attribute", names('a')), LabelKind::new("object", names('b'))];
        let vocabulary = Vocabulary::new(kinds).unwrap();
        for name in ["a7_c7".to_owned(), "a7".to_owned() + &"_".repeat(100_000)] {
            let error = vocabulary.parse_folder(&name).unwrap_err().to_string();
            assert!(error.contains("and 99900 more") && error.len() < name.len() + 3000, "{}", error.len());
        }
    }

    /// Eight kinds whose labels all begin each other: without the dead ends, more readings are tried than there are atoms.
    #[test]
    fn names_made_to_be_read_in_many_ways_do_not_take_long() {
        let names: Vec<String> = (1..=100).map(|n| vec!["a"; n].join("_")).collect();
        let kinds = (0..8).map(|place| LabelKind::new(crate::usual_kind(place), names.clone()));
        let vocabulary = Vocabulary::new(kinds).unwrap();
        let long = vec!["a"; 800].join("_");
        vocabulary.parse_folder(&long).unwrap();
        for name in [long.clone() + "_b", vec!["a"; 400].join("_")] {
            assert!(vocabulary.parse_folder(&name).is_err());
        }
    }

    #[test]
    fn plain_names() {
        assert_eq!(Vocabulary::split_plain("red car", 2), Some(vec!["red", "car"]));
        assert_eq!(Vocabulary::split_plain("red_car_big", 3), Some(vec!["red", "car", "big"]));
        assert_eq!(Vocabulary::split_plain("dark_red", 1), Some(vec!["dark_red"]));
        for (name, kinds) in [("red", 2), ("_car", 2), ("red__car", 3), ("a_b_c", 2)] {
            assert_eq!(Vocabulary::split_plain(name, kinds), None, "{name}");
        }
    }
}
