//! Models on the Hugging Face Hub: downloads into the standard Hub cache, and uploads of model directories.
//!
//! ```no_run
//! use std::path::Path;
//! use cccm_unet::pretrained::{Hub, HubConfig, HubFile};
//!
//! let hub = Hub::new(HubConfig::new(Path::new("cache/hub")))?;
//! let file: HubFile = "hf://someone/student/model.safetensors".parse()?;
//! let path = hub.fetch(&file, &mut |progress| eprintln!("{} of {} bytes", progress.done, progress.total))?;
//! # Ok::<(), cccm_unet::pretrained::HubError>(())
//! ```
//!
//! URLs, cache layout and the token's file are the crate `hf-hub`'s. Requests are not: its client sends the token on to
//! the storage that the Hub redirects to, checks neither digest nor length, and appends to what it had whatever range
//! the answer is for.
//!
//! What is promised here: a file lies under its final name only when it is whole and its digest is the Hub's; a broken
//! download continues where it stopped, in this process or the next; the token goes to the Hub alone; no more is read
//! than the Hub announced, and than [`LimitConfig`] allows. Nothing is read from the environment: [`HubConfig::from_variables`] takes a function for it.

mod cache;
mod client;
mod config;
mod digest;
mod download;
mod error;
mod listing;
mod place;
mod refusal;
mod upload;

pub use config::{HubConfig, LimitConfig, RetryConfig, Token};
pub use download::Fetched;
pub use error::HubError;
pub use listing::RemoteFile;
pub use place::{HubFile, RepoId, Revision};
pub use upload::{LocalFile, Push, Pushed, Visibility};

use client::Client;

/// How far a transfer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress<'a> {
    /// The file, as it is called in the repository.
    pub file: &'a str,
    /// Bytes there already, those of earlier tries included.
    pub done: u64,
    /// Bytes of the whole file.
    pub total: u64,
}

/// Called as a transfer goes on.
pub type OnProgress<'a> = dyn FnMut(Progress<'_>) + 'a;

/// A connection to a Hub.
#[derive(Debug)]
pub struct Hub {
    client: Client,
    cache: hf_hub::Cache,
    offline: bool,
}

impl Hub {
    /// A client; nothing is sent before something is asked of it.
    ///
    /// # Errors
    /// [`HubError::BadSetting`] for an endpoint or a proxy that is none.
    pub fn new(config: HubConfig) -> Result<Self, HubError> {
        Self::with_sleep(config, std::thread::sleep)
    }

    /// [`Hub::new`] with another way of waiting between tries: for tests, and for callers that want to be interrupted.
    ///
    /// # Errors
    /// As [`Hub::new`].
    pub fn with_sleep(
        config: HubConfig,
        sleep: impl Fn(std::time::Duration) + Send + Sync + 'static,
    ) -> Result<Self, HubError> {
        let (cache, offline) = (hf_hub::Cache::new(config.cache_dir.clone()), config.offline);
        Ok(Self { client: Client::new(config, Box::new(sleep))?, cache, offline })
    }

    /// Refuses to go on when this client is to stay offline.
    fn online(&self, what: impl FnOnce() -> String) -> Result<(), HubError> {
        if self.offline { Err(HubError::Offline { what: what() }) } else { Ok(()) }
    }
}
