//! A stand-in for the Hugging Face Hub on loopback: the addresses, headers and bodies of the real one, and its storage
//! behind another port. It fails as it is told to.

mod answers;
mod http;
mod storage;
mod uploads;

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sha1::Sha1;
use sha2::{Digest, Sha256};

pub use http::{Fault, Request};
use http::{Reply, Server};

/// Bytes from which a file lies in storage.
const LARGE: usize = 1024;

/// Which of the two servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The Hub: names, commits, small files.
    Hub,
    /// The storage that it redirects to.
    Storage,
}

/// A Hub on loopback.
pub struct HubStandIn {
    state: Arc<Mutex<State>>,
    hub: Server,
    storage: Server,
}

/// What the two servers know.
#[derive(Default)]
struct State {
    repos: BTreeMap<String, Repo>,
    /// Contents of storage, by digest.
    objects: BTreeMap<String, Vec<u8>>,
    /// Parts of uploads that are not complete, by digest and number.
    parts: BTreeMap<(String, usize), Vec<u8>>,
    faults: Vec<(Side, Fault)>,
    /// Of the Hub, for requests whose paths end so, each time.
    lasting_faults: Vec<(String, Fault)>,
    log: Vec<(Side, Request)>,
    /// Bytes of a part, where uploads go in parts.
    part_len: Option<usize>,
    /// The token that may do anything.
    token: Option<String>,
    commits: usize,
    addresses: Option<(SocketAddr, SocketAddr)>,
}

/// A repository with one branch and one commit that counts.
#[derive(Clone, Debug, Default)]
pub struct Repo {
    /// Name of the newest commit.
    pub commit: String,
    /// Contents by path.
    pub files: BTreeMap<String, Vec<u8>>,
    /// Whether only the token's owner sees it.
    pub private: bool,
    /// Whether conditions have to be accepted first, which nobody has.
    pub gated: bool,
    /// Messages of the commits made here.
    pub messages: Vec<String>,
}

impl HubStandIn {
    /// Starts both servers, without any repository.
    ///
    /// # Errors
    /// When no port is to be had.
    pub fn start() -> io::Result<Self> {
        let state = Arc::new(Mutex::new(State::default()));
        let serve = |side: Side| {
            let state = Arc::clone(&state);
            Server::start(move |request| {
                let mut state = lock(&state);
                state.log.push((side, request.clone()));
                let fault = state.faults.iter().position(|(at, _)| *at == side);
                let fault = fault.map(|index| state.faults.remove(index).1);
                let fault = fault.or_else(|| state.lasting_fault(side, request));
                match fault {
                    Some(Fault::Status(status, headers)) => {
                        return (Reply::status(status).with_all(headers), None);
                    }
                    // As if the request had never arrived.
                    Some(Fault::HangUp) => return (Reply::status(500), fault),
                    _ => (),
                }
                let mut asked = request.clone();
                if fault == Some(Fault::WholeFile) {
                    asked.headers.retain(|(name, _)| name != "range");
                }
                let reply = match side {
                    Side::Hub => state.hub(&asked),
                    Side::Storage => state.storage(&asked),
                };
                (reply, fault)
            })
        };
        let (hub, storage) = (serve(Side::Hub)?, serve(Side::Storage)?);
        lock(&state).addresses = Some((hub.address(), storage.address()));
        Ok(Self { state, hub, storage })
    }

    /// The address to give as `HF_ENDPOINT`.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.hub.address())
    }

    /// The storage's address.
    pub fn storage(&self) -> String {
        format!("http://{}", self.storage.address())
    }

    /// Puts a file into a repository, as a new commit; makes the repository if need be.
    pub fn put(&self, repo: &str, file: &str, content: &[u8]) {
        let mut state = lock(&self.state);
        let commit = state.next_commit();
        let repo = state.repos.entry(repo.to_owned()).or_default();
        repo.files.insert(file.to_owned(), content.to_vec());
        repo.commit = commit;
    }

    /// Changes a repository, which is made if need be.
    pub fn change(&self, repo: &str, change: impl FnOnce(&mut Repo)) {
        change(lock(&self.state).repos.entry(repo.to_owned()).or_default());
    }

    /// A repository as it is now.
    pub fn repo(&self, name: &str) -> Option<Repo> {
        lock(&self.state).repos.get(name).cloned()
    }

    /// Content in storage, by its SHA-256.
    pub fn object(&self, digest: &str) -> Option<Vec<u8>> {
        lock(&self.state).objects.get(digest).cloned()
    }

    /// The token that may read private repositories and write.
    pub fn accept_token(&self, token: &str) {
        lock(&self.state).token = Some(token.to_owned());
    }

    /// From now on uploads go in parts.
    pub fn upload_in_parts(&self, part_len: usize) {
        lock(&self.state).part_len = Some(part_len);
    }

    /// The next requests to one side fail, one after the other.
    pub fn fail(&self, side: Side, faults: impl IntoIterator<Item = Fault>) {
        lock(&self.state).faults.extend(faults.into_iter().map(|fault| (side, fault)));
    }

    /// From now on, all requests to the Hub whose paths end so fail.
    pub fn fail_always(&self, end: &str, fault: Fault) {
        lock(&self.state).lasting_faults.push((end.to_owned(), fault));
    }

    /// The requests so far, and forgets them.
    pub fn take_log(&self) -> Vec<(Side, Request)> {
        std::mem::take(&mut lock(&self.state).log)
    }
}

impl State {
    fn next_commit(&mut self) -> String {
        self.commits += 1;
        format!("{:040x}", self.commits)
    }

    fn lasting_fault(&self, side: Side, request: &Request) -> Option<Fault> {
        let is_meant =
            |(end, _): &&(String, Fault)| side == Side::Hub && request.path().ends_with(end.as_str());
        self.lasting_faults.iter().find(is_meant).map(|(_, fault)| fault.clone())
    }

    fn knows(&self, request: &Request) -> bool {
        let bearer = self.token.as_ref().map(|token| format!("Bearer {token}"));
        bearer.is_some() && request.header("authorization") == bearer.as_deref()
    }

    fn hub_url(&self, path: &str) -> String {
        self.addresses.map_or_else(String::new, |(hub, _)| format!("http://{hub}{path}"))
    }

    fn storage_url(&self, path: &str) -> String {
        self.addresses.map_or_else(String::new, |(_, storage)| format!("http://{storage}{path}"))
    }
}

/// A thread that failed has failed its own test; the others go on.
fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn is_large(content: &[u8]) -> bool {
    content.len() >= LARGE
}

/// SHA-256 in hexadecimal digits.
pub fn sha256(content: &[u8]) -> String {
    hex(&Sha256::digest(content))
}

/// What git calls a blob with this content.
pub fn git_blob(content: &[u8]) -> String {
    hex(&Sha1::new().chain_update(format!("blob {}\0", content.len())).chain_update(content).finalize())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}
