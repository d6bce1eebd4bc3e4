//! Names that look the same: spelt in other code points, or so alike that nobody would tell them apart.

use std::borrow::Cow;

use unicode_normalization::{UnicodeNormalization as _, is_nfc};

/// A name in the one spelling that it is compared in: Unicode's composed form, NFC. Some file systems and archives take letters
/// apart, so that `café` is four characters in one place and five in another.
pub fn spelling(name: &str) -> Cow<'_, str> {
    if name.is_ascii() || is_nfc(name) { Cow::Borrowed(name) } else { Cow::Owned(name.nfc().collect()) }
}

/// A key that is equal for names that look alike: their letters, regardless of case, width and the encoding
/// of accents, in words, regardless of what separates these.
pub(crate) fn likeness(name: &str) -> String {
    let visible = |c: &char| !matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{feff}');
    let lower: String = name.nfkc().filter(visible).flat_map(char::to_lowercase).collect();
    let is_between = |c: char| c == '_' || c == '-' || c.is_whitespace();
    lower.split(is_between).filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

/// The first two names that look alike, if there are any.
pub fn look_alikes<'a>(names: impl IntoIterator<Item = &'a str>) -> Option<(&'a str, &'a str)> {
    let mut seen = std::collections::HashMap::new();
    names.into_iter().find_map(|name| seen.insert(likeness(name), name).map(|first| (first, name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_have_one_spelling() {
        assert_eq!(spelling("cafe\u{301}"), "caf\u{e9}");
        assert!(matches!(spelling("caf\u{e9}"), Cow::Borrowed(_)));
        // Wide letters are others: only what is the same text has the same spelling.
        assert_eq!(spelling("\u{ff21}"), "\u{ff21}");
    }

    #[test]
    fn names_that_nobody_tells_apart_are_found() {
        for (one, other) in [
            ("Red", "red"),
            ("dark_red", "Dark Red"),
            ("red", "red "),
            ("red", "re\u{200b}d"),
            ("A1", "\u{ff21}1"),
            ("\u{c9}t\u{e9}", "e\u{301}te\u{301}"),
        ] {
            assert_eq!(look_alikes(["blue", one, other]), Some((one, other)));
        }
        assert_eq!(look_alikes(["red", "reed", "re d"]), None);
    }
}
