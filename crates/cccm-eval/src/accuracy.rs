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
    /// The same, over images of pairs that training showed; empty in scores from before this field existed.
    #[serde(default)]
    pub kinds_seen: Vec<Proportion>,
    /// The same, over images of pairs that training did not show; empty where there are none.
    #[serde(default)]
    pub kinds_unseen: Vec<Proportion>,
    /// Per label kind and label, the share of the images drawn for it in which it is recognised.
    pub labels: Vec<Vec<Proportion>>,
    /// Per label kind a table: in row `i`, column `j` the number of images that were drawn for label `i` and
    /// read as `j`. Empty in scores from before this field existed.
    #[serde(default)]
    pub confusion: Vec<Vec<Vec<u64>>>,
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
    /// Per label kind, the share of its images whose label of that kind is recognised; empty in scores from
    /// before this field existed.
    #[serde(default)]
    pub kinds: Vec<Proportion>,
}

impl Accuracy {
    /// Counts.
    /// - `wanted`, `answered`: per label kind one label per image
    /// - `label_counts`: per label kind how many labels there are; every label lies below
    /// - `seen`: whether training showed images of this combination
    ///
    /// # Errors
    /// [`Error::Count`] when the lists are not equally long, [`Error::Label`] for a label out of range.
    pub fn new(
        wanted: &[Vec<u32>],
        answered: &[Vec<u32>],
        label_counts: &[usize],
        seen: &dyn Fn(&[u32]) -> bool,
    ) -> Result<Self> {
        check(wanted, answered, label_counts)?;
        let counts = Counts { wanted, answered };
        let all: Vec<usize> = (0..wanted.first().map_or(0, Vec::len)).collect();
        let (seen_images, unseen_images): (Vec<usize>, Vec<usize>) =
            all.iter().partition(|image| seen(&counts.combination(**image)));
        let of_label = |kind: usize, label: u32| {
            let drawn_for = all.iter().filter(|image| wanted[kind][**image] == label);
            Proportion::count(drawn_for.map(|image| counts.right_of(kind, *image)))
        };
        let labels = label_counts.iter().enumerate();
        let labels = labels.map(|(kind, count)| (0..*count as u32).map(|l| of_label(kind, l)).collect());
        let mut by_combination = std::collections::BTreeMap::<Vec<u32>, Vec<usize>>::new();
        for image in &all {
            by_combination.entry(counts.combination(*image)).or_default().push(*image);
        }
        let combinations = by_combination.into_iter().map(|(labels, images)| Combination {
            seen: seen(&labels),
            labels,
            accuracy: counts.right(&images),
            kinds: counts.kinds(&images),
        });
        let confusion = label_counts.iter().enumerate().map(|(kind, count)| counts.confusion(kind, *count));
        let has_unseen = !unseen_images.is_empty();
        Ok(Self {
            all: counts.right(&all),
            seen: counts.right(&seen_images),
            unseen: has_unseen.then(|| counts.right(&unseen_images)),
            kinds: counts.kinds(&all),
            kinds_seen: counts.kinds(&seen_images),
            kinds_unseen: if has_unseen { counts.kinds(&unseen_images) } else { Vec::new() },
            labels: labels.collect(),
            confusion: confusion.collect(),
            combinations: combinations.collect(),
        })
    }
}

/// Per label kind one label per image.
struct Counts<'a> {
    wanted: &'a [Vec<u32>],
    answered: &'a [Vec<u32>],
}

impl Counts<'_> {
    fn combination(&self, image: usize) -> Vec<u32> {
        self.wanted.iter().map(|kind| kind[image]).collect()
    }

    fn right_of(&self, kind: usize, image: usize) -> bool {
        self.wanted[kind][image] == self.answered[kind][image]
    }

    /// Images whose every label is recognised.
    fn right(&self, images: &[usize]) -> Proportion {
        let right = |image: &usize| (0..self.wanted.len()).all(|kind| self.right_of(kind, *image));
        Proportion::count(images.iter().map(right))
    }

    fn kinds(&self, images: &[usize]) -> Vec<Proportion> {
        let of_kind = |kind| Proportion::count(images.iter().map(|image| self.right_of(kind, *image)));
        (0..self.wanted.len()).map(of_kind).collect()
    }

    fn confusion(&self, kind: usize, labels: usize) -> Vec<Vec<u64>> {
        let mut table = vec![vec![0; labels]; labels];
        for (wanted, answered) in self.wanted[kind].iter().zip(&self.answered[kind]) {
            table[*wanted as usize][*answered as usize] += 1;
        }
        table
    }
}

/// Whether all lists are as long as they must be, and labels lie in their range.
fn check(wanted: &[Vec<u32>], answered: &[Vec<u32>], label_counts: &[usize]) -> Result<()> {
    for (what, got) in [("kinds of answers", answered.len()), ("kinds of labels", label_counts.len())] {
        if got != wanted.len() {
            return Err(Error::Count { what, got, want: wanted.len() });
        }
    }
    let images = wanted.first().map_or(0, Vec::len);
    for list in wanted.iter().chain(answered) {
        if list.len() != images {
            return Err(Error::Count { what: "labels", got: list.len(), want: images });
        }
    }
    for (kind, count) in label_counts.iter().enumerate() {
        let mut labels = wanted[kind].iter().chain(&answered[kind]);
        if let Some(label) = labels.find(|label| **label as usize >= *count) {
            return Err(Error::Label { label: *label, kind, count: *count });
        }
    }
    Ok(())
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
        let pairs = |shares: &[Proportion]| shares.iter().map(pair).collect::<Vec<_>>();
        assert_eq!(pairs(&got.kinds_seen), [(2, 3), (2, 3)]);
        assert_eq!(pairs(&got.kinds_unseen), [(1, 2), (2, 2)]);
        assert_eq!(
            got.confusion,
            [vec![vec![1, 1], vec![1, 2]], vec![vec![1, 1, 0], vec![0, 1, 0], vec![0, 0, 2]]]
        );
        assert_eq!(pairs(&got.combinations[3].kinds), [(1, 2), (2, 2)]);
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
        assert_eq!((got.unseen, got.kinds_unseen.len()), (None, 0));
    }

    #[test]
    fn lists_of_different_lengths_are_refused() {
        let refused = |wanted: &[Vec<u32>], answered: &[Vec<u32>]| {
            Accuracy::new(wanted, answered, &[1], &|_| true).unwrap_err().to_string()
        };
        assert_eq!(refused(&[vec![0, 0]], &[vec![0]]), "1 labels for 2 images");
        assert!(refused(&[vec![0]], &[]).contains("kinds of answers"));
        assert_eq!(refused(&[vec![0]], &[vec![1]]), "label 1 of kind 0 is out of range: there are 1 labels");
    }
}
