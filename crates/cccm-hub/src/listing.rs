//! What a repository holds.

use serde::Deserialize;
use ureq::http::Method;

use crate::client::Ask;
use crate::refusal::{Intent, Subject};
use crate::{Hub, RepoId, Result, Revision};

/// A file of a repository.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct RemoteFile {
    /// Path within the repository.
    #[serde(rename = "rfilename")]
    pub name: String,
    /// Bytes, if the Hub says.
    #[serde(default)]
    pub size: Option<u64>,
}

/// The part of the Hub's description of a repository that is used.
#[derive(Debug, Deserialize)]
pub(crate) struct RepoInfo {
    #[serde(default)]
    pub(crate) siblings: Vec<RemoteFile>,
    #[serde(default)]
    pub(crate) private: bool,
}

impl Hub {
    /// The files of a repository, in the Hub's order.
    ///
    /// # Errors
    /// Whatever the Hub or the network has against it.
    pub fn list(&self, repo: &RepoId, revision: &Revision) -> Result<Vec<RemoteFile>> {
        self.online(|| format!("the list of {repo}'s files"))?;
        let url = format!("{}/api/{}?blobs=true", self.client.endpoint(), repo.at(revision).api_url());
        let subject = Subject { revision: Some(revision), ..Subject::repo(repo, Intent::Read) };
        let info: RepoInfo = self.client.send(&Ask::new(Method::GET, url), &subject)?.json()?;
        Ok(info.siblings)
    }

    pub(crate) fn info(&self, repo: &RepoId) -> Result<RepoInfo> {
        let url = format!("{}/api/models/{repo}", self.client.endpoint());
        self.client.send(&Ask::new(Method::GET, url), &Subject::repo(repo, Intent::Read))?.json()
    }
}
