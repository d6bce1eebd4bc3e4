//! Numbers of all pairs, as a table for people.

use cccm_data::{Pair, Vocabulary};

use cccm_render::aligned;

/// Attributes by objects, with sums; `·` where there is nothing.
pub(super) fn pair_table(vocabulary: &Vocabulary, count: impl Fn(Pair) -> usize) -> String {
    let (attributes, objects) = (&vocabulary.attributes, &vocabulary.objects);
    let at =
        |attribute: usize, object: usize| count(Pair { attribute: attribute as u32, object: object as u32 });
    let total = "total".to_owned();
    let mut rows = vec![[vec![String::new()], objects.clone(), vec![total.clone()]].concat()];
    let row = |name: &String, counts: Vec<usize>| {
        let sum = counts.iter().sum();
        let cells = counts.into_iter().chain([sum]).map(cell);
        [name.clone()].into_iter().chain(cells).collect::<Vec<_>>()
    };
    for (attribute, name) in attributes.iter().enumerate() {
        rows.push(row(name, (0..objects.len()).map(|object| at(attribute, object)).collect()));
    }
    let sum_of = |object| (0..attributes.len()).map(|attribute| at(attribute, object)).sum();
    rows.push(row(&total, (0..objects.len()).map(sum_of).collect()));
    aligned(&rows)
}

fn cell(count: usize) -> String {
    if count == 0 { "·".to_owned() } else { count.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_aligned_and_summed() {
        let vocabulary = Vocabulary::new(["red", "blue"], ["car", "boat"]).unwrap();
        let count = |pair: Pair| if pair.attribute == 1 { 0 } else { 5 + 1000 * pair.object as usize };
        assert_eq!(
            pair_table(&vocabulary, count),
            "       car  boat  total\nred      5  1005   1010\nblue     ·     ·      ·\ntotal    5  1005   1010\n"
        );
    }
}
