//! Words for messages.

/// Several labels of a kind, in English: `colours` of `colour`, `classes` of `class`.
pub fn plural(kind: &str) -> String {
    let ends = |endings: &[&str]| endings.iter().any(|ending| kind.ends_with(ending));
    match kind.strip_suffix('y') {
        Some(stem) if !ends(&["ay", "ey", "oy", "uy"]) => format!("{stem}ies"),
        _ if ends(&["s", "x", "z", "ch", "sh"]) => format!("{kind}es"),
        _ => format!("{kind}s"),
    }
}

/// What names of folders look like whose labels are of these kinds.
pub(crate) fn form<'a>(kinds: impl Iterator<Item = &'a str>) -> String {
    kinds.map(|kind| format!("<{kind}>")).collect::<Vec<_>>().join("_")
}

/// Names for a message: the first of very many.
pub fn listed<S: AsRef<str>>(names: &[S]) -> String {
    const MOST_SHOWN: usize = 100;
    let shown: Vec<&str> = names.iter().take(MOST_SHOWN).map(AsRef::as_ref).collect();
    let more = names.len() - shown.len();
    let rest = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{}{rest}", shown.join(", "))
}

/// The end of a sentence about a name that is unknown.
pub(crate) fn did_you_mean(nearest: Option<&str>) -> String {
    nearest.map_or_else(String::new, |name| format!(", did you mean `{name}`?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_of_a_kind() {
        for (kind, several) in
            [("colour", "colours"), ("class", "classes"), ("body", "bodies"), ("toy", "toys")]
        {
            assert_eq!(plural(kind), several);
        }
    }
}
