//! A connection to a Hub; what it can be asked for is in the files that name it.

use crate::client::Client;
use crate::{Error, HubConfig, Result};

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
    pub(crate) client: Client,
    pub(crate) cache: hf_hub::Cache,
    pub(crate) offline: bool,
}

impl Hub {
    /// A client; nothing is sent before something is asked of it.
    ///
    /// # Errors
    /// [`Error::BadSetting`] for an endpoint or a proxy that is none.
    pub fn new(config: HubConfig) -> Result<Self> {
        Self::with_sleep(config, std::thread::sleep)
    }

    /// [`Hub::new`] with another way of waiting between tries: for tests, and for callers that want to be interrupted.
    ///
    /// # Errors
    /// As [`Hub::new`].
    pub fn with_sleep(
        config: HubConfig,
        sleep: impl Fn(std::time::Duration) + Send + Sync + 'static,
    ) -> Result<Self> {
        let (cache, offline) = (hf_hub::Cache::new(config.cache_dir.clone()), config.offline);
        Ok(Self { client: Client::new(config, Box::new(sleep))?, cache, offline })
    }

    /// Refuses to go on when this client is to stay offline.
    pub(crate) fn online(&self, what: impl FnOnce() -> String) -> Result<()> {
        if self.offline { Err(Error::Offline { what: what() }) } else { Ok(()) }
    }
}
