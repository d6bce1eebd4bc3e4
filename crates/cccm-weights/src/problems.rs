//! Lists of names in messages.

/// One problem and the names that have it, if any.
pub(crate) fn listed(problem: &str, names: &[String]) -> Option<String> {
    (!names.is_empty()).then(|| format!("{} {problem}: {}", names.len(), shortened(names)))
}

/// The first few, and how many more.
fn shortened(names: &[String]) -> String {
    const SHOWN: usize = 5;
    let list = names.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(SHOWN) {
        0 => list,
        more => format!("{list} and {more} more"),
    }
}
