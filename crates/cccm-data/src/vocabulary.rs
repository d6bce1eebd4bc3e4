//! The labels of a dataset, and the folder names that spell a pair of them.

use std::{
    collections::{BTreeSet, HashSet},
    path::Path,
};

use serde::{Deserialize, Serialize};

use crate::{Error, LabelKind, Result, listing, nearest::nearest};

/// Either of these stands between the attribute and the object of a folder name.
const SEPARATORS: [char; 2] = ['_', ' '];

/// One composition: an attribute and an object, as indices into a [`Vocabulary`].
///
/// Ordered by attribute, then object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Pair {
    /// Index into [`Vocabulary::attributes`].
    pub attribute: u32,
    /// Index into [`Vocabulary::objects`].
    pub object: u32,
}

impl Pair {
    /// Its label of every kind: the attribute's index, then the object's.
    pub fn labels(self) -> Vec<u32> {
        vec![self.attribute, self.object]
    }
}

/// The two label lists of a compositional dataset. The order of the names is the order of the
/// indices, on which trained networks depend.
///
/// ```
/// use cccm_data::Vocabulary;
///
/// let vocabulary = Vocabulary::new(["Dark_Red", "Blue"], ["Car", "Bus"])?;
/// let pair = vocabulary.parse_folder("Dark_Red_Bus")?;
/// assert_eq!((pair.attribute, pair.object), (0, 1));
/// assert_eq!(vocabulary.folder_name(pair), "Dark_Red_Bus");
/// # Ok::<(), cccm_data::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Vocabulary {
    /// First labels of the pairs.
    pub attributes: Vec<String>,
    /// Second labels of the pairs.
    pub objects: Vec<String>,
}

impl Vocabulary {
    /// A vocabulary of these names, in this order.
    ///
    /// # Errors
    /// As [`Vocabulary::validate`].
    pub fn new<S: Into<String>>(
        attributes: impl IntoIterator<Item = S>,
        objects: impl IntoIterator<Item = S>,
    ) -> Result<Self> {
        let vocabulary = Self {
            attributes: attributes.into_iter().map(Into::into).collect(),
            objects: objects.into_iter().map(Into::into).collect(),
        };
        vocabulary.validate()?;
        Ok(vocabulary)
    }

    /// The vocabulary that the folders directly under `root` spell, each named
    /// `<attribute>_<object>` with exactly one `_` or space; names in sorted order.
    ///
    /// # Errors
    /// [`Error::NoVocabulary`] for the first folder of another name, [`Error::NoImages`] where there are
    /// no folders, [`Error::Io`] when `root` cannot be read.
    pub fn discover(root: impl AsRef<Path>) -> Result<Self> {
        let root = root.as_ref();
        let (mut attributes, mut objects) = (BTreeSet::new(), BTreeSet::new());
        for folder in listing::folders(root)? {
            let name = listing::name(&folder);
            let Some((attribute, object)) = Self::split_plain(&name) else {
                return Err(Error::NoVocabulary { path: folder });
            };
            attributes.insert(attribute.to_owned());
            objects.insert(object.to_owned());
        }
        if attributes.is_empty() {
            return Err(listing::no_images(root, 0));
        }
        Self::new(attributes, objects)
    }

    /// The two labels of a name with exactly one separator.
    pub(crate) fn split_plain(name: &str) -> Option<(&str, &str)> {
        let (attribute, object) = name.split_once(SEPARATORS)?;
        let is_plain = !attribute.is_empty() && !object.is_empty() && !object.contains(SEPARATORS);
        is_plain.then_some((attribute, object))
    }

    /// Checks that both lists name folders: at least one label each, none twice, none that is
    /// empty, hidden (starting with a dot), longer than 200 characters or more than one path component,
    /// and none with a character that terminals obey: controls, line ends, changes of direction.
    ///
    /// # Errors
    /// [`Error::InvalidVocabulary`] for the first label that does not.
    pub fn validate(&self) -> Result<()> {
        for (kind, names) in [(LabelKind::Attribute, &self.attributes), (LabelKind::Object, &self.objects)] {
            let mut seen = HashSet::new();
            let unusable = |name: &str| {
                name.trim().is_empty()
                    || name.starts_with('.')
                    || name.contains(['/', '\\'])
                    || name.contains(is_obeyed)
                    || name.chars().count() > MOST_CHARS
            };
            let problem = if names.is_empty() {
                Some("there are none".to_owned())
            } else if let Some(name) = names.iter().find(|name| unusable(name)) {
                Some(format!("`{}` cannot be part of a folder name", shown(name)))
            } else {
                names
                    .iter()
                    .find(|name| !seen.insert(name.as_str()))
                    .map(|name| format!("`{}` stands there twice", shown(name)))
            };
            if let Some(problem) = problem {
                return Err(Error::InvalidVocabulary { kind, problem });
            }
        }
        Ok(())
    }

    /// Every pair of the vocabulary, attribute by attribute.
    pub fn pairs(&self) -> impl Iterator<Item = Pair> + '_ {
        let objects = self.objects.len() as u32;
        (0..self.attributes.len() as u32)
            .flat_map(move |attribute| (0..objects).map(move |object| Pair { attribute, object }))
    }

    /// The pair of these two labels.
    ///
    /// # Errors
    /// [`Error::UnknownLabel`], with the label probably meant, when the vocabulary lacks one.
    pub fn pair(&self, attribute: &str, object: &str) -> Result<Pair> {
        Ok(Pair {
            attribute: find(LabelKind::Attribute, attribute, &self.attributes)?,
            object: find(LabelKind::Object, object, &self.objects)?,
        })
    }

    /// The pair that a folder name spells: an attribute, `_` or a space, an object. Labels may hold
    /// separators themselves; the vocabulary decides where the name splits.
    ///
    /// # Errors
    /// [`Error::UnknownPair`], with the pair probably meant; [`Error::AmbiguousPair`] when the
    /// vocabulary allows several readings.
    pub fn parse_folder(&self, name: &str) -> Result<Pair> {
        let reading = |(at, separator): (usize, &str)| {
            let attribute = position(&name[..at], &self.attributes)?;
            Some(Pair { attribute, object: position(&name[at + separator.len()..], &self.objects)? })
        };
        let readings: Vec<Pair> = name.match_indices(SEPARATORS).filter_map(reading).collect();
        match readings[..] {
            [pair] => Ok(pair),
            [] => Err(Error::UnknownPair {
                got: name.to_owned(),
                nearest: nearest(name, self.pairs().map(|pair| self.folder_name(pair))),
                attributes: listed(&self.attributes),
                objects: listed(&self.objects),
            }),
            _ => {
                let labels = readings.iter().map(|&pair| self.labels(pair));
                let readings = labels.map(|(attribute, object)| format!("`{attribute}` and `{object}`"));
                let readings = readings.collect::<Vec<_>>().join(" or ");
                Err(Error::AmbiguousPair { got: name.to_owned(), readings })
            }
        }
    }

    /// The pairs that a list of folder names spells.
    ///
    /// # Errors
    /// As [`Vocabulary::parse_folder`], for the first bad name.
    pub fn parse_folders<S: AsRef<str>>(&self, names: impl IntoIterator<Item = S>) -> Result<BTreeSet<Pair>> {
        names.into_iter().map(|name| self.parse_folder(name.as_ref())).collect()
    }

    /// `<attribute>_<object>`, the name of the folder with the images of `pair`. An index beyond the
    /// vocabulary shows as `#` and its number.
    pub fn folder_name(&self, pair: Pair) -> String {
        let (attribute, object) = self.labels(pair);
        format!("{attribute}_{object}")
    }

    fn labels(&self, pair: Pair) -> (String, String) {
        let label = |names: &[String], index: u32| match names.get(index as usize) {
            Some(name) => name.clone(),
            None => format!("#{index}"),
        };
        (label(&self.attributes, pair.attribute), label(&self.objects, pair.object))
    }
}

/// Characters of the longest label.
const MOST_CHARS: usize = 200;

/// Names for an error: the first of very many.
pub(crate) fn listed<S: AsRef<str>>(names: &[S]) -> String {
    const MOST_SHOWN: usize = 100;
    let shown: Vec<&str> = names.iter().take(MOST_SHOWN).map(AsRef::as_ref).collect();
    let more = names.len() - shown.len();
    let rest = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{}{rest}", shown.join(", "))
}

/// Whether a terminal does something else with a character than show it.
fn is_obeyed(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// A label for an error: short, and without what a terminal would obey.
fn shown(name: &str) -> String {
    name.chars().take(MOST_CHARS).flat_map(char::escape_debug).collect()
}

fn find(kind: LabelKind, got: &str, names: &[String]) -> Result<u32> {
    position(got, names).ok_or_else(|| Error::UnknownLabel {
        kind,
        got: got.to_owned(),
        nearest: nearest(got, names),
        known: listed(names),
    })
}

fn position(got: &str, names: &[String]) -> Option<u32> {
    names.iter().position(|name| name == got).map(|index| index as u32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Preset;

    #[test]
    fn vocabulary_decides_where_a_name_splits() -> Result<()> {
        let vocabulary = Vocabulary::new(["Dark_Red", "Light Blue"], ["Big_Car", "Bus"])?;
        for (name, attribute, object) in [
            ("Dark_Red_Big_Car", 0, 0),
            ("Dark_Red Big_Car", 0, 0),
            ("Light Blue_Bus", 1, 1),
            ("Light Blue Bus", 1, 1),
        ] {
            assert_eq!(vocabulary.parse_folder(name)?, Pair { attribute, object }, "{name}");
        }
        Ok(())
    }

    #[test]
    fn every_pair_is_read_back_from_its_name() -> Result<()> {
        for preset in Preset::ALL {
            let vocabulary = preset.vocabulary();
            assert_eq!(vocabulary.pairs().count(), vocabulary.attributes.len() * vocabulary.objects.len());
            for pair in vocabulary.pairs() {
                assert_eq!(vocabulary.parse_folder(&vocabulary.folder_name(pair))?, pair);
            }
        }
        Ok(())
    }

    #[test]
    fn misspelt_folder_names_the_one_that_was_meant() {
        let error = Preset::Celeba.vocabulary().parse_folder("BlondHiar_Male").unwrap_err();
        assert_eq!(
            error.to_string(),
            "`BlondHiar_Male` is not <attribute>_<object> of the vocabulary, did you mean `BlondHair_Male`?; \
             attributes: BrownHair, BlondHair, GrayHair, BlackHair; objects: Male, Female"
        );
    }

    #[test]
    fn unknown_folder_gets_no_far_fetched_guess() {
        let error = Preset::Zappos50k.vocabulary().parse_folder("thumbnails").unwrap_err();
        assert!(matches!(error, Error::UnknownPair { nearest: None, .. }), "{error}");
    }

    #[test]
    fn several_readings_are_an_error() -> Result<()> {
        let vocabulary = Vocabulary::new(["a", "a_b"], ["b_c", "c"])?;
        let error = vocabulary.parse_folder("a_b_c").unwrap_err();
        assert!(matches!(error, Error::AmbiguousPair { .. }));
        assert!(error.to_string().contains("`a` and `b_c` or `a_b` and `c`"), "{error}");
        Ok(())
    }

    #[test]
    fn misspelt_label_names_the_one_that_was_meant() {
        let error = Preset::ColoredMnist.vocabulary().pair("blue", "7").unwrap_err();
        assert_eq!(
            error.to_string(),
            "unknown attribute `blue`, did you mean `blu`?; known: bw, red, grn, blu, ylw"
        );
    }

    #[test]
    fn errors_of_very_many_labels_are_short_and_do_not_take_long() -> Result<()> {
        let names = |key: char| (0..100_000).map(move |index| format!("{key}{index}"));
        let vocabulary = Vocabulary::new(names('a'), names('b'))?;
        for name in ["a7_c7".to_owned(), "a7".to_owned() + &"_".repeat(100_000)] {
            let error = vocabulary.parse_folder(&name).unwrap_err().to_string();
            assert!(error.contains("and 99900 more") && error.len() < name.len() + 3000, "{}", error.len());
        }
        let error = vocabulary.pair("a7", "c7").unwrap_err().to_string();
        assert!(error.ends_with("b99 and 99900 more"), "{error}");
        Ok(())
    }

    #[test]
    fn unusable_labels_are_refused() {
        for (attributes, problem) in [
            (vec![], "there are none"),
            (vec!["a", "b", "a"], "`a` stands there twice"),
            (vec!["a", ""], "`` cannot be part"),
            (vec!["a/b"], "`a/b` cannot be part"),
            (vec![".git"], "`.git` cannot be part"),
            (vec!["a\u{1b}[2J"], "`a\\u{1b}[2J` cannot be part"),
            (vec!["a\nb"], "`a\\nb` cannot be part"),
            (vec!["a\u{202e}b"], "`a\\u{202e}b` cannot be part"),
        ] {
            let error = Vocabulary::new(attributes, vec!["x"]).unwrap_err();
            assert!(error.to_string().contains(problem), "{error}");
        }
    }

    #[test]
    fn survives_json() {
        let vocabulary = Preset::Shapes.vocabulary();
        let json = serde_json::to_string(&vocabulary).unwrap();
        assert_eq!(serde_json::from_str::<Vocabulary>(&json).unwrap(), vocabulary);
    }
}
