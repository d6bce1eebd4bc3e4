//! Downloads from and uploads to a Hub on loopback, and all that can go wrong on the way.

// `cfg(test)` always holds here; it tells clippy that helpers are tests too, which may unwrap.
#![cfg(test)]

mod download;
mod refusals;
mod upload;

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cccm_hub::{Fetched, Hub, HubConfig, HubFile, Result, Token};
use cccm_tests::hub::{HubStandIn, Request, Side};

const REPO: &str = "someone/teacher";
const TOKEN: &str = "hf_secret";

/// A Hub, a cache, and a clock that only takes notes.
struct Bench {
    hub: HubStandIn,
    home: tempfile::TempDir,
    slept: Arc<Mutex<Vec<u64>>>,
}

impl Bench {
    fn new() -> Self {
        let (hub, home) = (HubStandIn::start().unwrap(), tempfile::tempdir().unwrap());
        Self { hub, home, slept: Arc::default() }
    }

    fn config(&self) -> HubConfig {
        HubConfig { endpoint: self.hub.endpoint(), ..HubConfig::new(&self.home.path().join("hub")) }
    }

    fn with_token(&self, token: &str) -> HubConfig {
        HubConfig { token: Token::new(token).unwrap(), ..self.config() }
    }

    fn client_of(&self, config: HubConfig) -> Hub {
        let slept = Arc::clone(&self.slept);
        Hub::with_sleep(config, move |wait: Duration| slept.lock().unwrap().push(wait.as_secs())).unwrap()
    }

    fn client(&self) -> Hub {
        self.client_of(self.config())
    }

    fn fetch(&self, file: &str) -> Result<Fetched> {
        self.client().fetch(&place(file), &mut |_| ())
    }

    /// Seconds slept since the last look.
    fn slept(&self) -> Vec<u64> {
        std::mem::take(&mut self.slept.lock().unwrap())
    }

    /// A path in the repository's folder of the cache.
    fn cached(&self, path: &str) -> PathBuf {
        self.home.path().join("hub/models--someone--teacher").join(path)
    }

    fn requests(&self, side: Side) -> Vec<Request> {
        let log = self.hub.take_log();
        log.into_iter().filter(|(at, _)| *at == side).map(|(_, request)| request).collect()
    }
}

fn place(file: &str) -> HubFile {
    format!("hf://{REPO}/{file}").parse().unwrap()
}

/// Content that no two places of have the same bytes around them.
fn content(len: usize) -> Vec<u8> {
    (0..len as u32).flat_map(|i| i.wrapping_mul(2_654_435_761).to_be_bytes()).take(len).collect()
}
