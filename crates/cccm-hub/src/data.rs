//! Data sets: what of a repository is needed is downloaded, and lies in one folder then.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use crate::cache::Slot;
use crate::download::is_outage;
use crate::place::bad;
use crate::{Error, Hub, HubFile, OnProgress, RepoId, Result, Revision};

/// What a place of data starts with.
const SCHEME: &str = "hf://datasets/";

/// A data set on the Hub, or a folder of it: `hf://datasets/owner/name`, `hf://datasets/owner/name@revision/folder`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HubData {
    /// The repository.
    pub repo: RepoId,
    /// Branch, tag or commit; `main` unless given.
    pub revision: Revision,
    /// Path within the repository, if not all of it is meant.
    folder: Option<String>,
}

impl HubData {
    /// Whether the text is meant as a data set on the Hub.
    pub fn is_meant(text: &str) -> bool {
        text.starts_with(SCHEME)
    }

    /// Path within the repository, if not all of it is meant.
    pub fn folder(&self) -> Option<&str> {
        self.folder.as_deref()
    }

    fn file(&self, name: &str) -> Result<HubFile> {
        HubFile::new(self.repo.clone(), self.revision.clone(), name)
    }
}

impl FromStr for HubData {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let wanted = "hf://datasets/owner/name or hf://datasets/owner/name@revision/folder is wanted";
        let rest = text.strip_prefix(SCHEME).ok_or_else(|| bad(text, wanted))?;
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        if rest.split('/').count() < 2 {
            return Err(bad(text, wanted));
        }
        // Of a place without a folder, this is the name that a file would have.
        let file: HubFile = format!("hf://{rest}").parse()?;
        let folder = (rest.split('/').count() > 2).then(|| file.file().to_owned());
        Ok(Self { repo: file.repo.of_data(), revision: file.revision, folder })
    }
}

impl fmt::Display for HubData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at =
            if self.revision == Revision::default() { String::new() } else { format!("@{}", self.revision) };
        let folder = self.folder.as_ref().map(|folder| format!("/{folder}")).unwrap_or_default();
        write!(f, "hf://{}{}{folder}", self.repo, at.replace('/', "%2F"))
    }
}

impl Hub {
    /// Downloads files of a data set unless they are in the cache, all of one commit, and gives the folder that they lie in under
    /// their names; where a folder of the repository is meant, that one.
    ///
    /// Offline, or where the Hub cannot be asked, the files of it that are in the cache are all there are; shards that say how many
    /// they are must all be there.
    /// - `choose`: which files are needed, of the names of all of them, in the folder that is meant
    ///
    /// # Errors
    /// [`Error::NothingChosen`] with the files that are there, and as [`Hub::fetch`].
    pub fn fetch_data(
        &self,
        data: &HubData,
        choose: impl Fn(&[String]) -> Vec<String>,
        on_progress: &mut OnProgress<'_>,
    ) -> Result<PathBuf> {
        let all = self.names(data)?;
        let prefix = data.folder.as_ref().map(|folder| format!("{folder}/")).unwrap_or_default();
        let within: Vec<String> =
            all.iter().filter_map(|name| Some(name.strip_prefix(&prefix)?.to_owned())).collect();
        let mut chosen = choose(&within).into_iter().map(|name| format!("{prefix}{name}"));
        let nothing = || Error::NothingChosen { place: data.to_string(), files: all.clone() };
        let first = data.file(&chosen.next().ok_or_else(nothing)?)?;
        let fetched = self.fetch(&first, on_progress)?;
        for name in chosen {
            // Of the same commit, whatever is pushed meanwhile.
            self.fetch(&data.file(&name)?.at(&fetched.commit), on_progress)?;
        }
        let depth = first.file().split('/').count();
        let root = fetched.path.ancestors().nth(depth).unwrap_or(&fetched.path);
        Ok(data.folder.as_ref().map_or_else(|| root.to_owned(), |folder| root.join(folder)))
    }
}

impl Hub {
    /// The names of all files, as the Hub has them, or as the cache does.
    fn names(&self, data: &HubData) -> Result<Vec<String>> {
        let cached = || -> Result<Option<Vec<String>>> {
            let names = Slot::new(&self.cache, &data.file("any")?).names();
            names.map(|names| check_shards(data, &names).map(|()| names)).transpose()
        };
        if self.offline {
            return cached()?.ok_or_else(|| Error::Offline { what: data.to_string() });
        }
        match self.list(&data.repo, &data.revision) {
            Ok(files) => Ok(files.into_iter().map(|file| file.name).collect()),
            Err(error) if is_outage(&error) => match cached()? {
                Some(names) => {
                    tracing::warn!("{error}; going on with what of {data} is in the cache");
                    Ok(names)
                }
                None => Err(error),
            },
            Err(error) => Err(error),
        }
    }
}

/// Fails where some of the shards `NAME-00001-of-00010` are not there: a download may have been interrupted.
fn check_shards(data: &HubData, names: &[String]) -> Result<()> {
    let mut found = BTreeMap::<(&str, usize), usize>::new();
    for name in names {
        let stem = name.rsplit_once('.').map_or(name.as_str(), |(stem, _)| stem);
        let Some((before, total)) = stem.rsplit_once("-of-") else { continue };
        if let (Ok(total), Some((split, _))) = (total.parse(), before.rsplit_once('-')) {
            *found.entry((split, total)).or_default() += 1;
        }
    }
    match found.into_iter().find(|((_, total), count)| count < total) {
        Some(((split, total), count)) => Err(Error::Offline {
            what: format!("the rest of {data} ({count} of {total} shards of {split} are in the cache)"),
        }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_that_are_not_all_there_are_missed() {
        let data: HubData = "hf://datasets/a/b".parse().unwrap();
        let names = |all: &[&str]| all.iter().map(ToString::to_string).collect::<Vec<_>>();
        let three = ["data/train-00000-of-00002.parquet", "data/train-00001-of-00002.parquet", "README.md"];
        check_shards(&data, &names(&three)).unwrap();
        let error = check_shards(&data, &names(&three[1..])).unwrap_err().to_string();
        assert!(error.contains("1 of 2 shards of data/train are in the cache"), "{error}");
    }

    #[test]
    fn places_are_read_and_written_back() {
        for (text, id, revision, folder) in [
            ("hf://datasets/a/b", "a/b", "main", None),
            ("hf://datasets/a/b/data", "a/b", "main", Some("data")),
            (
                "hf://datasets/a/b@refs%2Fconvert%2Fparquet/default/train",
                "a/b",
                "refs/convert/parquet",
                Some("default/train"),
            ),
        ] {
            let place: HubData = text.parse().unwrap();
            assert_eq!(
                (place.repo.as_str(), place.revision.as_str(), place.folder()),
                (id, revision, folder)
            );
            assert_eq!(place.to_string(), text);
            assert_eq!(place.repo.to_string(), format!("datasets/{id}"));
        }
        for text in
            ["hf://datasets/a", "hf://a/b", "hf://datasets/a/b/../c", "hf://datasets//b", "datasets/a/b"]
        {
            assert!(matches!(text.parse::<HubData>(), Err(Error::BadPlace { .. })), "{text}");
        }
    }
}
