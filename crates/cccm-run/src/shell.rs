//! Commands as one would type them.

use std::fmt::Display;

use cccm_labels::{Combination, LabelKind, Vocabulary};
use toml::{Table, Value};

/// Settings as flags.
pub fn as_flags(settings: &Table) -> String {
    let flag = |(name, value): (&String, &Value)| match value {
        // A flag that is off is not typed.
        Value::Boolean(false) => String::new(),
        Value::Boolean(true) => format!(" --{}", name.replace('_', "-")),
        _ => format!(" --{} {}", name.replace('_', "-"), words(value)),
    };
    settings.iter().map(flag).collect()
}

fn words(value: &Value) -> String {
    match value {
        Value::String(text) => quoted(text),
        Value::Array(values) => values.iter().map(words).collect::<Vec<_>>().join(" "),
        other => other.to_string(),
    }
}

/// Quoted such that a shell reads it as one word. Control characters are written as escapes that bash, zsh
/// and ksh understand.
pub fn quoted(text: impl Display) -> String {
    let text = text.to_string();
    let is_plain = |c: char| c.is_alphanumeric() || "-_./:=,+@%".contains(c);
    // zsh puts a program's path in the place of `=program`.
    if !text.is_empty() && text.chars().all(is_plain) && !text.starts_with('=') {
        return text;
    }
    if text.chars().any(char::is_control) {
        let escaped = |c: char| match c {
            '\'' | '\\' => format!("\\{c}"),
            c if c.is_control() => format!("\\u{:04x}", u32::from(c)),
            c => c.to_string(),
        };
        return format!("$'{}'", text.chars().map(escaped).collect::<String>());
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// The flags of `cccm sample` that ask for a combination.
pub fn label_flags(vocabulary: &Vocabulary, combination: &Combination) -> String {
    let flag = |(place, (kind, label)): (usize, (&LabelKind, &u32))| {
        let name = kind.name_of(*label);
        match (place, kind.kind.as_str()) {
            (0, "attribute") | (1, "object") => as_value(&format!("--{}", kind.kind), &name),
            (_, kind) => as_value("--label", &format!("{kind}={name}")),
        }
    };
    let labels = vocabulary.kinds().iter().zip(combination.iter()).enumerate();
    labels.map(flag).collect::<Vec<_>>().join(" ")
}

/// A flag with its value, which may begin like a flag itself.
pub fn as_value(flag: &str, value: &str) -> String {
    let between = if value.starts_with('-') { '=' } else { ' ' };
    format!("{flag}{between}{}", quoted(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_survive_a_shell() {
        assert_eq!(quoted("runs/a_b-1.x"), "runs/a_b-1.x");
        assert_eq!(quoted("Fotos/Öl"), "Fotos/Öl");
        assert_eq!(quoted("my photos"), "'my photos'");
        assert_eq!(quoted("it's $5"), r"'it'\''s $5'");
        assert_eq!(quoted(""), "''");
        assert_eq!(quoted("=ls"), "'=ls'");
        assert_eq!(quoted("a\x1b[2J'b"), r"$'a\u001b[2J\'b'");
        assert_eq!(as_value("--object", "-x y"), "--object='-x y'");
        assert_eq!(as_value("--object", "a"), "--object a");
    }

    #[test]
    fn labels_are_asked_for_by_the_flags_that_know_them() {
        let pairs = Vocabulary::of_pairs(["red"], ["-x"]).unwrap();
        assert_eq!(label_flags(&pairs, &Combination::from([0, 0])), "--attribute red --object=-x");
        let named =
            Vocabulary::new([LabelKind::new("hair colour", ["red"]), LabelKind::new("object", ["a b"])]);
        assert_eq!(
            label_flags(&named.unwrap(), &Combination::from([0, 0])),
            "--label 'hair colour=red' --object 'a b'"
        );
    }
}
