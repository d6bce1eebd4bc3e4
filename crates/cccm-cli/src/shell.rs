//! Commands as one would type them.

use std::fmt::Display;

use toml::{Table, Value};

/// Settings as flags.
pub(crate) fn as_flags(settings: &Table) -> String {
    let flag = |(name, value): (&String, &Value)| match value {
        // There is no way to type what a flag is without.
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

/// As a shell reads it as one word.
pub(crate) fn quoted(text: impl Display) -> String {
    let text = text.to_string();
    let is_plain = |c: char| c.is_alphanumeric() || "-_./:=,+@%".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        return text;
    }
    format!("'{}'", text.replace('\'', r"'\''"))
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
    }
}
