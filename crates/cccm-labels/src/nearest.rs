//! The known name that a misspelt one probably meant.

/// Names that are compared: of more, looking for the likeliest would take longer than reading the list.
const MOST_NAMES: usize = 10_000;
/// Characters of a misspelt name that is compared; folders and labels have fewer.
const MOST_CHARS: usize = 500;
/// Below this similarity (1 is equal, 0 has nothing in common) a guess would only confuse.
const CLOSE: f64 = 0.5;

/// The name most like `got`, whatever the case, if one is close; of very many names, of the first ones.
pub fn nearest<S: AsRef<str>>(got: &str, known: impl IntoIterator<Item = S>) -> Option<String> {
    if got.chars().nth(MOST_CHARS).is_some() {
        return None;
    }
    let got = got.to_lowercase();
    known
        .into_iter()
        .take(MOST_NAMES)
        .map(|name| {
            let likeness = strsim::normalized_damerau_levenshtein(&got, &name.as_ref().to_lowercase());
            (likeness, name)
        })
        .filter(|(likeness, _)| *likeness >= CLOSE)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, name)| name.as_ref().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_was_meant() {
        let known = ["BrownHair", "BlondHair", "GrayHair"];
        assert_eq!(nearest("blondhiar", known).as_deref(), Some("BlondHair"));
        assert_eq!(nearest("zebra", known), None);
    }
}
