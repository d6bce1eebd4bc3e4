//! What can go wrong between here and the Hub.

use std::path::PathBuf;
use std::time::Duration;

use crate::address::without_secrets;

/// Result of this crate's functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong between here and the Hub: one variant for each thing that a person would do about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Text that names no repository, revision or file.
    #[error("`{text}` is no place on the Hub: {problem}")]
    BadPlace {
        /// The text.
        text: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A setting that cannot be used.
    #[error("{name} cannot be used: {problem}")]
    BadSetting {
        /// Its name: an environment variable, or words.
        name: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// 401 without a token.
    #[error(
        "the Hub wants a token for {repo}, which is private or does not exist: check the name, or make a token at \
         {endpoint}/settings/tokens and set HF_TOKEN to it"
    )]
    TokenMissing {
        /// The repository.
        repo: String,
        /// Address of the Hub.
        endpoint: String,
    },
    /// 401 with a token.
    #[error(
        "the Hub refuses the token for {repo}; it is mistyped, expired or revoked: see {endpoint}/settings/tokens"
    )]
    TokenRefused {
        /// The repository.
        repo: String,
        /// Address of the Hub.
        endpoint: String,
    },
    /// A token that was not sent, as it would have gone over plain `http`.
    #[error(
        "the token was not sent to {endpoint}, as others on the network could read it: use an address with https, or allow \
         it (`token_over_http`)"
    )]
    TokenWithheld {
        /// Address of the Hub.
        endpoint: String,
    },
    /// A repository whose conditions have to be accepted first.
    #[error(
        "{repo} is gated: accept its conditions at {endpoint}/{repo} and set HF_TOKEN to a token of the account that did"
    )]
    Gated {
        /// The repository.
        repo: String,
        /// Address of the Hub.
        endpoint: String,
    },
    /// 403 for another reason.
    #[error(
        "this token may not {action} {repo}{}: it needs that permission, see {endpoint}/settings/tokens",
        said(.message)
    )]
    Forbidden {
        /// `read` or `write to`.
        action: &'static str,
        /// The repository.
        repo: String,
        /// Address of the Hub.
        endpoint: String,
        /// The Hub's words, perhaps none.
        message: String,
    },
    /// No such repository, or none that the token may see.
    #[error("there is no repository {repo} at {endpoint}, or the token may not see it: check the name")]
    RepoNotFound {
        /// The repository.
        repo: String,
        /// Address of the Hub.
        endpoint: String,
    },
    /// No such branch, tag or commit.
    #[error("{repo} has no revision `{revision}`: a branch, a tag or a commit is wanted, mostly `main`")]
    RevisionNotFound {
        /// The repository.
        repo: String,
        /// The revision.
        revision: String,
    },
    /// No such file in the repository.
    #[error("{repo} has no file `{file}` at revision `{revision}`; it has {}", enumerate(.files))]
    FileNotFound {
        /// The repository.
        repo: String,
        /// The revision.
        revision: String,
        /// The file.
        file: String,
        /// The files that are there.
        files: Vec<String>,
    },
    /// A data set without files that can be used.
    #[error("nothing of {place} is data that can be used, as a folder of it may be ({place}/FOLDER); it has {}", enumerate(.files))]
    NothingChosen {
        /// The data set.
        place: String,
        /// The files that are there.
        files: Vec<String>,
    },
    /// 429, after as many tries as are allowed.
    #[error("the Hub limits how often it is asked, and the limit is reached: try again {}", later(*.retry_after))]
    RateLimited {
        /// What the Hub asks to wait.
        retry_after: Option<Duration>,
    },
    /// 5xx, after as many tries as are allowed.
    #[error("{host} is out of order (status {status}): try again {}", later(*.retry_after))]
    Unavailable {
        /// The host that answered: the Hub's, or its storage's.
        host: String,
        /// The status.
        status: u16,
        /// What it asks to wait.
        retry_after: Option<Duration>,
    },
    /// No connection.
    #[error("cannot reach {host}: check the network, a proxy (HTTPS_PROXY) and the address (HF_ENDPOINT)")]
    Unreachable {
        /// The host.
        host: String,
        /// What failed.
        source: ureq::Error,
    },
    /// Not asked for, because this client is to stay offline.
    #[error("{what} needs the network, but HF_HUB_OFFLINE is set: unset it")]
    Offline {
        /// What was to be done.
        what: String,
    },
    /// A transfer that broke off, again and again.
    #[error("`{file}` broke off at byte {done} of {total}: run this again, it goes on from there")]
    Interrupted {
        /// The file.
        file: String,
        /// Bytes that are there.
        done: u64,
        /// Bytes of the whole file.
        total: u64,
        /// What ended the last try, if more than the end of the connection.
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
    /// A file that is larger than is downloaded.
    #[error("`{file}` has {size} bytes, and no more than {most} are downloaded")]
    TooLarge {
        /// The file.
        file: String,
        /// Bytes announced.
        size: u64,
        /// Bytes allowed.
        most: u64,
    },
    /// A transfer that goes on for too long.
    #[error("{what} is too slow: it is not over after {} s", .limit.as_secs())]
    TooSlow {
        /// The file, or the host that answers.
        what: String,
        /// Time allowed.
        limit: Duration,
    },
    /// More bytes than announced.
    #[error("`{file}` does not end where it should: the Hub announced {announced} bytes; nothing was kept")]
    TooLong {
        /// The file.
        file: String,
        /// Bytes announced.
        announced: u64,
    },
    /// A file whose digest is not the Hub's.
    #[error("`{file}` arrived damaged: its digest is {got}, not {want}; nothing was kept, run this again")]
    Digest {
        /// The file.
        file: String,
        /// The Hub's digest.
        want: String,
        /// The digest of what arrived.
        got: String,
    },
    /// An existing repository that everyone can read, where a private one was asked for.
    #[error("{repo} exists and is public, but a private one was asked for: nothing was sent")]
    NotPrivate {
        /// The repository.
        repo: String,
    },
    /// An answer that is not the Hub's protocol.
    #[error("{url} answers unlike a Hub: {problem}")]
    Protocol {
        /// The address, without what follows a `?`.
        url: String,
        /// What is wrong.
        problem: String,
    },
    /// A file that cannot be read or written.
    #[error("cannot {action} {}", .path.display())]
    Io {
        /// `read`, `write`, `lock`.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
}

impl Error {
    /// Whether another try may go better.
    pub(crate) fn is_passing(&self) -> bool {
        match self {
            Self::RateLimited { .. } | Self::Unavailable { .. } | Self::Interrupted { .. } => true,
            Self::Unreachable { source, .. } => is_passing(source),
            _ => false,
        }
    }

    /// What the answer asks to wait.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::RateLimited { retry_after } | Self::Unavailable { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    pub(crate) fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }

    pub(crate) fn protocol(url: &str, problem: impl Into<String>) -> Self {
        Self::Protocol { url: without_secrets(url), problem: problem.into() }
    }
}

/// Whether an established connection was lost. A connection that could not be established, because there is
/// no such name or no listener, cannot be established a few seconds later either.
fn is_passing(error: &ureq::Error) -> bool {
    use std::io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, TimedOut, UnexpectedEof};
    match error {
        ureq::Error::Io(error) => {
            matches!(
                error.kind(),
                BrokenPipe | ConnectionAborted | ConnectionReset | TimedOut | UnexpectedEof
            )
        }
        ureq::Error::Timeout(_) | ureq::Error::Protocol(_) => true,
        _ => false,
    }
}

/// Files named before the rest is only counted.
const FILES_NAMED: usize = 30;

fn enumerate(files: &[String]) -> String {
    match files.len() {
        0 => "no files".to_owned(),
        count if count > FILES_NAMED => {
            format!("{}, and {} more", shown(&files[..FILES_NAMED]), count - FILES_NAMED)
        }
        _ => shown(files),
    }
}

/// Names from elsewhere: short, and without what a terminal would obey.
fn shown(files: &[String]) -> String {
    const MOST_CHARS: usize = 100;
    let name = |file: &String| file.chars().take(MOST_CHARS).flat_map(char::escape_debug).collect::<String>();
    files.iter().map(name).collect::<Vec<_>>().join(", ")
}

fn later(wait: Option<Duration>) -> String {
    wait.map_or_else(|| "in a few minutes".to_owned(), |wait| format!("in {} s", wait.as_secs()))
}

fn said(message: &str) -> String {
    if message.is_empty() { String::new() } else { format!(" ({message})") }
}
