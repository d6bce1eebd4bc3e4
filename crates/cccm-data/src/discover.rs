//! The labels that the folders of a dataset spell.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use cccm_labels::{KnownLabels, LabelKind, Vocabulary, look_alikes, spelling};

use crate::{Error, PassedOver, Result, listing, source::Source};

/// The vocabulary that is known, or that the folders directly under `root` spell: each named after one label of each kind, with
/// exactly one `_` or space between two of them; names in sorted order.
///
/// # Errors
/// [`Error::NoVocabulary`] for the first folder of another name, [`Error::LookAlikes`] for two labels that nobody would tell
/// apart, [`Error::NotUtf8`], [`Error::NoImages`] where there are no folders, [`Error::Io`]
/// when `root` cannot be read.
pub fn discover(root: impl AsRef<Path>, known: &KnownLabels) -> Result<Vocabulary> {
    let kinds = match known {
        KnownLabels::All(vocabulary) => return Ok(vocabulary.clone()),
        KnownLabels::Kinds(kinds) => kinds,
    };
    let root = root.as_ref();
    if let Some(rows) = Source::of(root)?.labels(known)? {
        if rows.len() == 0 {
            return Err(Error::EmptyList { path: root.to_owned() });
        }
        let vocabulary = rows.vocabulary()?;
        return twins(&vocabulary).map_or(Ok(vocabulary), Err);
    }
    let folders = listing::folders(root)?;
    let names: Vec<String> = folders.iter().map(|folder| listing::name(folder)).collect::<Result<_>>()?;
    let is_odd = |name: &String| Vocabulary::split_plain(name, kinds.len()).is_none();
    if let Some(odd) = names.iter().position(is_odd) {
        return Err(no_vocabulary(&folders[odd], known));
    }
    match spelt(kinds, names.iter().map(String::as_str)) {
        Some(vocabulary) => {
            let vocabulary = vocabulary?;
            twins(&vocabulary).map_or(Ok(vocabulary), Err)
        }
        None => Err(listing::no_images(root, &known.form(), 0, &PassedOver::default())),
    }
}

/// The error for the first two labels that nobody would tell apart.
pub(crate) fn twins(vocabulary: &Vocabulary) -> Option<Error> {
    vocabulary.kinds().iter().find_map(|kind| {
        let (first, second) = look_alikes(kind.names.iter().map(String::as_str))?;
        Some(Error::LookAlikes {
            kind: kind.kind.clone(),
            first: first.to_owned(),
            second: second.to_owned(),
        })
    })
}

/// The vocabulary that plain names spell, others passed over; none where there are none.
pub(crate) fn spelt<'a>(
    kinds: &[String],
    names: impl Iterator<Item = &'a str>,
) -> Option<cccm_labels::Result<Vocabulary>> {
    let mut labels = vec![BTreeSet::new(); kinds.len()];
    let mut found = BTreeMap::new();
    for spelt in names.filter_map(|name| Vocabulary::split_plain(name, kinds.len())) {
        for (known, label) in labels.iter_mut().zip(spelt) {
            known.insert(spelling(label).into_owned());
            if found.insert(spelling(label), label).is_some_and(|other| other != label) {
                tracing::warn!(
                    "names of folders spell `{}` in two ways, which are one label",
                    spelling(label)
                );
            }
        }
    }
    let is_any = labels.iter().all(|labels| !labels.is_empty());
    is_any.then(|| Vocabulary::new(kinds.iter().zip(labels).map(|(kind, names)| LabelKind::new(kind, names))))
}

/// The error for a folder whose name does not spell labels.
pub(crate) fn no_vocabulary(folder: &Path, known: &KnownLabels) -> Error {
    let kinds = match known {
        KnownLabels::Kinds(kinds) => kinds.len(),
        KnownLabels::All(vocabulary) => vocabulary.kinds().len(),
    };
    Error::NoVocabulary { path: folder.to_owned(), form: known.form(), kinds }
}
