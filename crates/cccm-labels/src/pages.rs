//! Where combinations stand when all of them are shown: rows and columns, and pages of them.

use crate::vocabulary::combinations_of;
use crate::{Combination, Vocabulary};

/// Combinations as rows of labels of the first kind and columns of the second; of one kind, a single row. Further kinds have a
/// page for each combination of their labels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The labels that the whole page has, as `size: small`; none where there are at most two kinds.
    pub title: Option<String>,
    /// Names of the rows; one without a name where there is one kind.
    pub rows: Vec<String>,
    /// Names of the columns.
    pub columns: Vec<String>,
    /// What stands where, row by row.
    pub combinations: Vec<Combination>,
}

impl Vocabulary {
    /// All combinations, page by page.
    pub fn pages(&self) -> Vec<Page> {
        let kinds = self.kinds();
        let (across, down) = match kinds {
            [] => return Vec::new(),
            [only] => (only, None),
            [first, second, ..] => (second, Some(first)),
        };
        let further = kinds.get(2..).unwrap_or_default();
        let rows = down.map_or_else(|| vec![String::new()], |kind| kind.names.clone());
        let page = |fixed: Combination| {
            let titles = further
                .iter()
                .zip(fixed.iter())
                .map(|(kind, label)| format!("{}: {}", kind.kind, kind.name_of(*label)));
            let titles: Vec<String> = titles.collect();
            let cells = (0..rows.len() as u32).flat_map(|row| {
                (0..across.null()).map(move |column| {
                    let own = down.map(|_| row).into_iter().chain([column]);
                    Combination::new(own.chain(fixed.iter().copied()))
                })
            });
            Page {
                title: (!titles.is_empty()).then(|| titles.join(", ")),
                rows: rows.clone(),
                columns: across.names.clone(),
                combinations: cells.collect(),
            }
        };
        combinations_of(further).map(page).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::LabelKind;

    fn vocabulary(kinds: &[(&str, &[&str])]) -> Vocabulary {
        Vocabulary::new(kinds.iter().map(|(kind, names)| LabelKind::new(*kind, names.iter().copied())))
            .unwrap()
    }

    #[test]
    fn pairs_are_one_page_in_their_order() {
        let pairs = vocabulary(&[("colour", &["red", "blue"]), ("body", &["car", "bus", "van"])]);
        let pages = pairs.pages();
        assert_eq!((pages.len(), &pages[0].title), (1, &None));
        assert_eq!(pages[0].combinations, pairs.combinations().collect::<Vec<_>>());
        assert_eq!((pages[0].rows.len(), pages[0].columns.len()), (2, 3));
    }

    #[test]
    fn one_kind_is_one_row() {
        let pages = vocabulary(&[("class", &["cat", "dog"])]).pages();
        assert_eq!(
            (&pages[0].rows, &pages[0].columns),
            (&vec![String::new()], &vec!["cat".into(), "dog".into()])
        );
        assert_eq!(pages[0].combinations, [[0], [1]].map(Combination::from));
    }

    #[test]
    fn further_kinds_turn_pages() {
        let four =
            vocabulary(&[("a", &["a0", "a1"]), ("b", &["b0"]), ("c", &["c0", "c1"]), ("d", &["d0", "d1"])]);
        let pages = four.pages();
        assert_eq!(pages.len(), 4);
        assert_eq!(pages[1].title.as_deref(), Some("c: c0, d: d1"));
        assert_eq!(pages[1].combinations, [[0, 0, 0, 1], [1, 0, 0, 1]].map(Combination::from));
        let mut all: Vec<Combination> = pages.into_iter().flat_map(|page| page.combinations).collect();
        all.sort_unstable();
        assert_eq!(all, four.combinations().collect::<Vec<_>>());
    }
}
