//! Compositional accuracy: whether an image shows every label that it was drawn for.

use serde::{Deserialize, Serialize};

use crate::{Error, Proportion, Result};

/// Share of the images whose labels a classifier recognises.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Accuracy {
    /// Every label of the image is recognised, over all images.
    pub all: Proportion,
    /// The same, over images of pairs that training showed.
    pub seen: Proportion,
    /// The same, over images of pairs that training did not show; absent where there are none.
    pub unseen: Option<Proportion>,
    /// Per label kind, the share of images whose label of that kind is recognised.
    pub kinds: Vec<Proportion>,
    /// Per label kind and label, the share of the images drawn for it in which it is recognised.
    pub labels: Vec<Vec<Proportion>>,
    /// Every combination of labels that was drawn, in the order of their labels.
    pub combinations: Vec<Combination>,
}

/// One combination of labels.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Combination {
    /// Per label kind the label's index.
    pub labels: Vec<u32>,
    /// Whether training showed it.
    pub seen: bool,
    /// Share of its images in which every label is recognised.
    pub accuracy: Proportion,
}

impl Accuracy {
    /// Counts.
    /// - `wanted`, `answered`: per label kind one label per image
    /// - `label_counts`: per label kind how many labels there are; every wanted label lies below
    /// - `seen`: whether training showed images of this combination
    ///
    /// # Errors
    /// [`Error::Count`] when the lists are not equally long.
    pub fn new(
        wanted: &[Vec<u32>],
        answered: &[Vec<u32>],
        label_counts: &[usize],
        seen: &dyn Fn(&[u32]) -> bool,
    ) -> Result<Self> {
        let images = wanted.first().map_or(0, Vec::len);
        for (what, got) in [("kinds of answers", answered.len()), ("kinds of labels", label_counts.len())] {
            if got != wanted.len() {
                return Err(Error::Count { what, got, want: wanted.len() });
            }
        }
        for list in wanted.iter().chain(answered) {
            if list.len() != images {
                return Err(Error::Count { what: "labels", got: list.len(), want: images });
            }
        }

        let right_of = |kind: usize, image: usize| wanted[kind][image] == answered[kind][image];
        let right = |image: usize| (0..wanted.len()).all(|kind| right_of(kind, image));
        let combination = |image: usize| wanted.iter().map(|kind| kind[image]).collect::<Vec<u32>>();
        let over = |images: Vec<usize>| Proportion::count(images.into_iter().map(right));
        let (seen_images, unseen_images): (Vec<usize>, Vec<usize>) =
            (0..images).partition(|image| seen(&combination(*image)));

        let kinds = (0..wanted.len()).map(|kind| Proportion::count((0..images).map(|i| right_of(kind, i))));
        let of_label = |kind: usize, label: u32| {
            let drawn_for = (0..images).filter(|image| wanted[kind][*image] == label);
            Proportion::count(drawn_for.map(|image| right_of(kind, image)))
        };
        let labels = label_counts.iter().enumerate();
        let labels = labels.map(|(kind, count)| (0..*count as u32).map(|l| of_label(kind, l)).collect());
        let mut by_combination = std::collections::BTreeMap::<Vec<u32>, Vec<usize>>::new();
        for image in 0..images {
            by_combination.entry(combination(image)).or_default().push(image);
        }
        let combinations = by_combination.into_iter().map(|(labels, images)| Combination {
            seen: seen(&labels),
            labels,
            accuracy: over(images),
        });
        Ok(Self {
            all: Proportion::count((0..images).map(right)),
            seen: over(seen_images),
            unseen: (!unseen_images.is_empty()).then(|| over(unseen_images)),
            kinds: kinds.collect(),
            labels: labels.collect(),
            combinations: combinations.collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Five images of two attributes and three objects; (1, 2) is unseen.
    fn counted() -> Accuracy {
        let wanted = [vec![0, 0, 1, 1, 1], vec![0, 1, 2, 2, 0]];
        let answered = [vec![0, 1, 1, 0, 1], vec![0, 1, 2, 2, 1]];
        Accuracy::new(&wanted, &answered, &[2, 3], &|labels| labels != [1, 2]).unwrap()
    }

    #[test]
    fn agrees_with_a_count_by_hand() {
        let got = counted();
        let pair = |p: &Proportion| (p.hits, p.of);
        // Images 0 and 2 are wholly right; 1 and 3 have the wrong attribute, 4 the wrong object.
        assert_eq!(pair(&got.all), (2, 5));
        assert_eq!(pair(&got.seen), (1, 3));
        assert_eq!(got.unseen.as_ref().map(pair), Some((1, 2)));
        assert_eq!(got.kinds.iter().map(pair).collect::<Vec<_>>(), [(3, 5), (4, 5)]);
        let labels: Vec<Vec<_>> = got.labels.iter().map(|kind| kind.iter().map(pair).collect()).collect();
        assert_eq!(labels, [vec![(1, 2), (2, 3)], vec![(1, 2), (1, 1), (2, 2)]]);
        let combinations: Vec<_> =
            got.combinations.iter().map(|c| (c.labels.clone(), c.seen, pair(&c.accuracy))).collect();
        let want = [
            (vec![0, 0], true, (1, 1)),
            (vec![0, 1], true, (0, 1)),
            (vec![1, 0], true, (0, 1)),
            (vec![1, 2], false, (1, 2)),
        ];
        assert_eq!(combinations, want);
    }

    #[test]
    fn without_unseen_combinations_there_is_no_such_share() {
        let got = Accuracy::new(&[vec![0]], &[vec![0]], &[1], &|_| true).unwrap();
        assert_eq!(got.unseen, None);
    }

    #[test]
    fn lists_of_different_lengths_are_refused() {
        let refused = |wanted: &[Vec<u32>], answered: &[Vec<u32>]| {
            Accuracy::new(wanted, answered, &[1], &|_| true).unwrap_err().to_string()
        };
        assert_eq!(refused(&[vec![0, 0]], &[vec![0]]), "1 labels for 2 images");
        assert!(refused(&[vec![0]], &[]).contains("kinds of answers"));
    }
}
