//! Numbers of all pairs, as a table for people.

use cccm_labels::{Combination, Page, Vocabulary};
use cccm_render::aligned;

/// Labels of the first kind by those of the second, with sums, page by page of further kinds; `·` where there is nothing.
pub(super) fn combination_table(vocabulary: &Vocabulary, count: impl Fn(&Combination) -> usize) -> String {
    let pages = vocabulary.pages();
    let pages = pages.iter().map(|page| {
        let title = page.title.iter().map(|title| format!("{title}\n"));
        title.chain([page_table(page, &count)]).collect::<String>()
    });
    pages.collect::<Vec<_>>().join("\n")
}

fn page_table(page: &Page, count: impl Fn(&Combination) -> usize) -> String {
    let total = "total".to_owned();
    let row = |name: &String, counts: &[usize]| {
        let cells = counts.iter().chain([&counts.iter().sum()]).map(|count| cell(*count)).collect::<Vec<_>>();
        [vec![name.clone()], cells].concat()
    };
    let counts: Vec<usize> = page.combinations.iter().map(count).collect();
    let columns = page.columns.len();
    let mut rows = vec![[vec![String::new()], page.columns.clone(), vec![total.clone()]].concat()];
    rows.extend(page.rows.iter().zip(counts.chunks(columns)).map(|(name, counts)| row(name, counts)));
    if page.rows.len() > 1 {
        let sum_of = |column| counts.iter().skip(column).step_by(columns).sum();
        rows.push(row(&total, &(0..columns).map(sum_of).collect::<Vec<_>>()));
    }
    aligned(&rows)
}

fn cell(count: usize) -> String {
    if count == 0 { "·".to_owned() } else { count.to_string() }
}

#[cfg(test)]
mod tests {
    use cccm_labels::LabelKind;

    use super::*;

    #[test]
    fn numbers_are_aligned_and_summed() {
        let vocabulary = Vocabulary::of_pairs(["red", "blue"], ["car", "boat"]).unwrap();
        let count = |combination: &Combination| {
            if combination[0] == 1 { 0 } else { 5 + 1000 * combination[1] as usize }
        };
        assert_eq!(
            combination_table(&vocabulary, count),
            "       car  boat  total\nred      5  1005   1010\nblue     ·     ·      ·\ntotal    5  1005   1010\n"
        );
    }

    #[test]
    fn one_kind_is_a_row_and_further_ones_are_pages() {
        let kinds = [("a", &["x", "y"][..]), ("b", &["p"]), ("c", &["m", "n"])];
        let kinds = kinds.map(|(kind, names)| LabelKind::new(kind, names.iter().copied()));
        let one = Vocabulary::new([kinds[0].clone()]).unwrap();
        assert_eq!(combination_table(&one, |_| 2), "  x  y  total\n  2  2      4\n");
        let three = combination_table(&Vocabulary::new(kinds).unwrap(), |labels| labels[2] as usize);
        assert!(three.starts_with("c: m\n") && three.contains("\n\nc: n\n"), "{three}");
    }
}
