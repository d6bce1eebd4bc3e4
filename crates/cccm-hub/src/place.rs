//! Names of things on the Hub.

use std::fmt;
use std::str::FromStr;

use hf_hub::{Repo, RepoType};

use crate::{Error, Result};

/// What a place on the Hub starts with.
const SCHEME: &str = "hf://";
/// The branch that a repository has.
const MAIN: &str = "main";
/// Where a model's weights are, if a place names a repository alone.
const MODEL_FILE: &str = "model.safetensors";

/// A repository, `owner/name`: of models, as its text is read, or of data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RepoId {
    id: String,
    holds: Holds,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Holds {
    Models,
    Data,
}

/// A branch, a tag or a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revision(String);

/// A file in a repository: `hf://owner/name/file`, or `hf://owner/name@revision/file`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HubFile {
    /// The repository.
    pub repo: RepoId,
    /// Branch, tag or commit; `main` unless given.
    pub revision: Revision,
    /// Path within the repository; `model.safetensors` unless given.
    file: String,
}

impl RepoId {
    /// The part before the slash.
    pub fn owner(&self) -> &str {
        self.id.split('/').next().unwrap_or_default()
    }

    /// The part after the slash.
    pub fn name(&self) -> &str {
        self.id.split('/').nth(1).unwrap_or_default()
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.id
    }

    /// The repository of data with this name.
    #[must_use]
    pub fn of_data(self) -> Self {
        Self { holds: Holds::Data, ..self }
    }

    pub(crate) fn at(&self, revision: &Revision) -> Repo {
        let kind = match self.holds {
            Holds::Models => RepoType::Model,
            Holds::Data => RepoType::Dataset,
        };
        Repo::with_revision(self.id.clone(), kind, revision.0.clone())
    }
}

impl Revision {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this is a commit: 40 hexadecimal digits, which never mean anything else later.
    pub fn is_commit(&self) -> bool {
        self.0.len() == 40 && self.0.bytes().all(|b| b.is_ascii_hexdigit())
    }
}

impl Default for Revision {
    fn default() -> Self {
        Self(MAIN.to_owned())
    }
}

impl HubFile {
    /// A file of a repository.
    ///
    /// # Errors
    /// [`Error::BadPlace`] for a path that leaves the repository, or is none.
    pub fn new(repo: RepoId, revision: Revision, file: &str) -> Result<Self> {
        let sound = |part: &str| {
            !matches!(part, "" | "." | "..") && !part.contains(|c: char| c.is_control() || "\\:".contains(c))
        };
        if !file.split('/').all(sound) {
            let problem =
                "a file is named by its path within the repository, such as `dir/model.safetensors`";
            return Err(bad(file, problem));
        }
        Ok(Self { repo, revision, file: file.to_owned() })
    }

    /// Path within the repository, with slashes.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// The same file at another revision.
    #[must_use]
    pub fn at(&self, revision: &Revision) -> Self {
        Self { revision: revision.clone(), ..self.clone() }
    }

    /// A file in the same folder, at the same revision.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn sibling(&self, name: &str) -> Result<Self> {
        let folder = self.file.rsplit_once('/').map_or(String::new(), |(folder, _)| format!("{folder}/"));
        Self::new(self.repo.clone(), self.revision.clone(), &format!("{folder}{name}"))
    }

    /// Whether the text is meant as a place on the Hub.
    pub fn is_meant(text: &str) -> bool {
        text.starts_with(SCHEME)
    }
}

impl FromStr for RepoId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let sound = |part: &str| {
            let allowed = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
            let ends = |part: &str| part.starts_with(['.', '-']) || part.ends_with(['.', '-']);
            !part.is_empty() && part.bytes().all(allowed) && !ends(part)
        };
        // Two hyphens are the separator in the cache's folder names.
        let parts: Vec<&str> = text.split('/').collect();
        if parts.len() == 2 && parts.into_iter().all(sound) && !text.contains("--") && !text.contains("..") {
            return Ok(Self { id: text.to_owned(), holds: Holds::Models });
        }
        Err(bad(text, "a repository is `owner/name`, of letters, digits and `._-`"))
    }
}

impl FromStr for Revision {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let text = text.replace("%2F", "/").replace("%2f", "/");
        let sound = |part: &str| {
            let allowed = |b: u8| b.is_ascii_alphanumeric() || b"._-+".contains(&b);
            !part.is_empty() && !part.starts_with(['.', '-']) && part.bytes().all(allowed)
        };
        if text.split('/').all(sound) && !text.contains("..") {
            return Ok(Self(text));
        }
        Err(bad(&text, "a revision is a branch, a tag or a commit, of letters, digits and `._-+/`"))
    }
}

impl FromStr for HubFile {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let wanted = "hf://owner/name/file, or hf://owner/name@revision/file, is wanted";
        let rest = text.strip_prefix(SCHEME).ok_or_else(|| bad(text, wanted))?;
        let mut parts = rest.splitn(3, '/');
        let (Some(owner), Some(name)) = (parts.next(), parts.next()) else { return Err(bad(text, wanted)) };
        let (name, revision) = match name.split_once('@') {
            Some((name, revision)) => (name, revision.parse()?),
            None => (name, Revision::default()),
        };
        Self::new(format!("{owner}/{name}").parse()?, revision, parts.next().unwrap_or(MODEL_FILE))
    }
}

pub(crate) fn bad(text: &str, problem: &str) -> Error {
    Error::BadPlace { text: text.to_owned(), problem: problem.to_owned() }
}

impl fmt::Display for RepoId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.holds == Holds::Data {
            f.write_str("datasets/")?;
        }
        f.write_str(&self.id)
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for HubFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let revision = self.revision.0.replace('/', "%2F");
        let at = if revision == MAIN { String::new() } else { format!("@{revision}") };
        write!(f, "{SCHEME}{}{at}/{}", self.repo, self.file)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read_and_written_back() {
        for (text, repo, revision, file) in [
            ("hf://a/b/teacher.pth", "a/b", "main", "teacher.pth"),
            ("hf://a/b@v1.0/x/y.safetensors", "a/b", "v1.0", "x/y.safetensors"),
            ("hf://a/b@refs%2Fpr%2F1/f", "a/b", "refs/pr/1", "f"),
        ] {
            let place: HubFile = text.parse().unwrap();
            assert_eq!((place.repo.as_str(), place.revision.as_str(), place.file()), (repo, revision, file));
            assert_eq!(place.to_string(), text);
        }
        let short: HubFile = "hf://a/b".parse().unwrap();
        assert_eq!(short.file(), "model.safetensors");
        let deep: HubFile = "hf://a/b/x/y.pth".parse().unwrap();
        assert_eq!(deep.sibling("config.json").unwrap().file(), "x/config.json");
    }

    #[test]
    fn nothing_leaves_the_repository_or_the_cache() {
        for text in [
            "a/b/c",
            "hf://a",
            "hf://a//f",
            "hf://../b/f",
            "hf://a/../f",
            "hf://a/b/../../etc/passwd",
            "hf://a/b//f",
            "hf://a/b/",
            "hf://a/b/x\\..\\y",
            "hf://a/b/C:x",
            "hf://a/b/x\ny",
            "hf://a/b@/f",
            "hf://a/b@../f",
            "hf://a/b@x%2F..%2Fy/f",
            "hf://a/b--c/f",
            "hf://a b/c/f",
        ] {
            let got = text.parse::<HubFile>();
            assert!(matches!(got, Err(Error::BadPlace { .. })), "{text}: {got:?}");
        }
    }

    #[test]
    fn commits_are_told_from_branches() {
        let is_commit = |text: &str| text.parse::<Revision>().unwrap().is_commit();
        assert!(is_commit(&"0123456789abcdef".repeat(3)[..40]));
        assert!(!is_commit("main") && !is_commit(&"g".repeat(40)) && !is_commit(&"a".repeat(39)));
    }
}
