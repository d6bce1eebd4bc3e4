//! Rows of lists: what an image is, and its label of each kind.

use std::collections::{BTreeSet, HashMap};

use cccm_labels::{Combination, KnownLabels, LabelKind, Vocabulary, spelling};

use crate::Result;

/// Which columns hold labels.
pub(crate) struct Columns<'a> {
    known: &'a KnownLabels,
}

impl<'a> Columns<'a> {
    pub(crate) fn new(known: &'a KnownLabels) -> Self {
        Self { known }
    }

    /// Their names, which are those of the kinds.
    pub(crate) fn names(&self) -> impl Iterator<Item = &'a str> {
        let (kinds, all) = match self.known {
            KnownLabels::Kinds(kinds) => (&kinds[..], &[][..]),
            KnownLabels::All(vocabulary) => (&[][..], vocabulary.kinds()),
        };
        kinds.iter().map(String::as_str).chain(all.iter().map(|kind| kind.kind.as_str()))
    }

    /// Rows that have no labels yet.
    pub(crate) fn rows<T>(&self) -> Rows<T> {
        let kinds = self.names().map(|kind| Kind { name: kind.to_owned(), ..Kind::default() }).collect();
        Rows { kinds, rows: Vec::new() }
    }
}

/// Rows of a list. Labels are kept once, however many rows have them.
#[derive(Debug)]
pub(crate) struct Rows<T> {
    kinds: Vec<Kind>,
    rows: Vec<Row<T>>,
}

#[derive(Clone, Debug, Default)]
struct Kind {
    name: String,
    /// In the order that they are found in.
    labels: Vec<String>,
    places: HashMap<String, u32>,
}

#[derive(Debug)]
struct Row<T> {
    image: T,
    /// Places among the labels that were found.
    labels: Combination,
    line: usize,
}

/// Labels of one kind beyond which a column is none: every row would have its own.
const MOST_LABELS: usize = 100_000;

impl<T> Rows<T> {
    /// Adds a row.
    ///
    /// # Errors
    /// What is wrong with its labels.
    pub(crate) fn push(&mut self, image: T, labels: &[String], line: usize) -> Result<(), String> {
        let mut places = Vec::with_capacity(labels.len());
        for (kind, label) in self.kinds.iter_mut().zip(labels) {
            let label = spelling(label);
            if label.is_empty() {
                return Err(format!("it has no `{}`", kind.name));
            }
            let place = match kind.places.get(&*label) {
                Some(place) => *place,
                None if kind.labels.len() >= MOST_LABELS => {
                    return Err(format!("`{}` has more than {MOST_LABELS} labels", kind.name));
                }
                None => {
                    let place = kind.labels.len() as u32;
                    kind.labels.push(label.clone().into_owned());
                    kind.places.insert(label.into_owned(), place);
                    place
                }
            };
            places.push(place);
        }
        self.rows.push(Row { image, labels: Combination::new(places), line });
        Ok(())
    }

    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    /// The rows whose images are found.
    pub(crate) fn filter_map<U>(self, mut find: impl FnMut(T, usize) -> Option<U>) -> Rows<U> {
        let found = |Row { image, labels, line }| Some(Row { image: find(image, line)?, labels, line });
        Rows { kinds: self.kinds, rows: self.rows.into_iter().filter_map(found).collect() }
    }

    /// The labels that were found, each kind's in sorted order.
    ///
    /// # Errors
    /// As [`Vocabulary::validate`].
    pub(crate) fn vocabulary(&self) -> Result<Vocabulary> {
        let kinds = self.kinds.iter().map(|kind| {
            let sorted: BTreeSet<&str> = kind.labels.iter().map(String::as_str).collect();
            LabelKind::new(&kind.name, sorted)
        });
        Ok(Vocabulary::new(kinds)?)
    }

    /// The images with their labels as a vocabulary has them.
    ///
    /// # Errors
    /// For the first label that the vocabulary does not have, with the line that it stands in.
    pub(crate) fn labelled(
        self,
        vocabulary: &Vocabulary,
    ) -> Result<Vec<(T, Combination)>, (usize, cccm_labels::Error)> {
        let indices: Vec<Vec<cccm_labels::Result<u32>>> = self
            .kinds
            .iter()
            .zip(vocabulary.kinds())
            .map(|(found, known)| found.labels.iter().map(|label| known.index_of(label)).collect())
            .collect();
        let labelled = |Row { image, labels, line }: Row<T>| {
            let indices =
                labels.iter().zip(&indices).map(|(place, indices)| indices[*place as usize].clone());
            let indices: cccm_labels::Result<Vec<u32>> = indices.collect();
            indices.map(|indices| (image, Combination::new(indices))).map_err(|error| (line, error))
        };
        self.rows.into_iter().map(labelled).collect()
    }
}
