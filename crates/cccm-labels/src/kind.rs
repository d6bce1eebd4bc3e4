//! One kind of labels.

use std::borrow::Cow;
use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use crate::nearest::nearest;
use crate::spelling::spelling;
use crate::text::listed;
use crate::{Error, Result};

/// Characters of the longest name.
const MOST_CHARS: usize = 200;

/// One kind of labels (attribute, object, colour, …) and the names of its labels. An index is a place in `names`, and the index
/// after the last is the null token: "this label is left out".
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LabelKind {
    /// What the labels say, for example `attribute`.
    pub kind: String,
    /// Names in index order; trained networks depend on the order.
    pub names: Vec<String>,
}

impl LabelKind {
    /// A kind of these labels in their one [`spelling`], unchecked; [`Vocabulary::new`](crate::Vocabulary::new) checks.
    pub fn new<S: Into<String>>(kind: impl Into<String>, names: impl IntoIterator<Item = S>) -> Self {
        let spelt = |name: S| -> String {
            let name = name.into();
            match spelling(&name) {
                Cow::Borrowed(_) => name,
                Cow::Owned(spelt) => spelt,
            }
        };
        Self { kind: kind.into(), names: names.into_iter().map(spelt).collect() }
    }

    /// The null token, which is the number of labels.
    pub fn null(&self) -> u32 {
        self.names.len() as u32
    }

    /// The index of a label, if there is one of this name, however its letters are put together: see [`spelling`].
    pub fn position(&self, name: &str) -> Option<u32> {
        let name = spelling(name);
        self.names.iter().position(|known| spelling(known) == name).map(|index| index as u32)
    }

    /// The index of a label.
    ///
    /// # Errors
    /// [`Error::UnknownLabel`], with the label probably meant.
    pub fn index_of(&self, name: &str) -> Result<u32> {
        self.position(name).ok_or_else(|| Error::UnknownLabel {
            kind: self.kind.clone(),
            got: name.to_owned(),
            nearest: nearest(name, &self.names),
            known: listed(&self.names),
        })
    }

    /// The name of a label; an index beyond them shows as `#` and its number.
    pub fn name_of(&self, index: u32) -> Cow<'_, str> {
        match self.names.get(index as usize) {
            Some(name) => Cow::Borrowed(name),
            None => Cow::Owned(format!("#{index}")),
        }
    }

    /// Whether another kind has the same labels in the same order, whatever it is called.
    pub fn has_names_of(&self, other: &Self) -> bool {
        let spelt =
            |kind: &'_ Self| kind.names.iter().map(|name| spelling(name).into_owned()).collect::<Vec<_>>();
        self.names == other.names || spelt(self) == spelt(other)
    }

    /// Checks that the names are fit for lists, commands, terminals and folders: the kind has a name, there is at least one
    /// label, none is there twice, none is empty, hidden (starting with a dot), longer than 200 characters, more than one path
    /// component, or has a character that terminals obey: controls, line ends, changes of direction.
    ///
    /// # Errors
    /// [`Error::UnusableLabels`] for the first name that is not.
    pub fn validate(&self) -> Result<()> {
        let unusable = |problem| Error::UnusableLabels { kind: shown(&self.kind), problem };
        if is_unusable(&self.kind) || self.kind.contains(['=', ',', ':']) {
            return Err(unusable("the kind itself has no usable name".to_owned()));
        }
        if self.names.is_empty() {
            return Err(unusable("there are none".to_owned()));
        }
        if let Some(name) = self.names.iter().find(|name| is_unusable(name)) {
            return Err(unusable(format!("`{}` cannot be part of a folder name", shown(name))));
        }
        let mut seen = HashSet::new();
        match self.names.iter().find(|name| !seen.insert(spelling(name))) {
            Some(twice) => Err(unusable(format!("`{}` stands there twice", shown(twice)))),
            None => Ok(()),
        }
    }
}

/// What a kind is called where nobody has named it, counted from 0. Published data have attributes and objects.
pub fn usual_kind(place: usize) -> String {
    match place {
        0 => "attribute".to_owned(),
        1 => "object".to_owned(),
        _ => format!("label{}", place + 1),
    }
}

fn is_unusable(name: &str) -> bool {
    name.trim().is_empty()
        || name.starts_with('.')
        || name.contains(['/', '\\'])
        || name.contains(is_obeyed)
        || name.chars().count() > MOST_CHARS
}

/// Whether a terminal does something else with a character than show it.
fn is_obeyed(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// A name for an error: short, and without what a terminal would obey.
fn shown(name: &str) -> String {
    name.chars().take(MOST_CHARS).flat_map(char::escape_debug).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unusable_names_are_refused() {
        let long = "x".repeat(201);
        for (names, problem) in [
            (vec![], "there are none"),
            (vec!["a", "b", "a"], "`a` stands there twice"),
            (vec!["caf\u{e9}", "cafe\u{301}"], "stands there twice"),
            (vec!["a", ""], "`` cannot be part"),
            (vec!["a/b"], "`a/b` cannot be part"),
            (vec![".git"], "`.git` cannot be part"),
            (vec!["a\u{1b}[2J"], "`a\\u{1b}[2J` cannot be part"),
            (vec!["a\nb"], "`a\\nb` cannot be part"),
            (vec!["a\u{202e}b"], "`a\\u{202e}b` cannot be part"),
            (vec![long.as_str()], "cannot be part"),
        ] {
            let error = LabelKind::new("attribute", names).validate().unwrap_err().to_string();
            assert!(error.contains(problem) && error.starts_with("the attributes of"), "{error}");
        }
        for kind in ["", "a=b", "a,b", "a\nb", ".a"] {
            assert!(LabelKind::new(kind, ["x"]).validate().is_err(), "{kind:?}");
        }
    }

    #[test]
    fn misspelt_label_names_the_one_that_was_meant() {
        let kind = LabelKind::new("attribute", ["bw", "red", "grn", "blu", "ylw"]);
        assert_eq!(
            kind.index_of("blue").unwrap_err().to_string(),
            "unknown attribute `blue`, did you mean `blu`?; known: bw, red, grn, blu, ylw"
        );
        let decomposed = LabelKind { kind: "object".into(), names: vec!["the".into(), "cafe\u{301}".into()] };
        assert_eq!(decomposed.index_of("caf\u{e9}").unwrap(), 1);
        assert_eq!((kind.index_of("grn").unwrap(), kind.null(), &*kind.name_of(7)), (2, 5, "#7"));
    }
}
