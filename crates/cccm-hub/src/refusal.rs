//! What the Hub means by saying no.

use std::time::Duration;

use crate::answer::Answer;
use crate::{Error, RepoId, Revision};

/// What a request is about, for the words of its failure.
pub(crate) struct Subject<'a> {
    pub(crate) repo: &'a RepoId,
    pub(crate) revision: Option<&'a Revision>,
    pub(crate) file: Option<&'a str>,
    pub(crate) intent: Intent,
}

/// What a token would have to allow.
#[derive(Clone, Copy)]
pub(crate) enum Intent {
    Read,
    Write,
}

/// What the Hub has seen of a token.
#[derive(Clone, Copy)]
pub(crate) enum TokenUse {
    /// There is none.
    None,
    /// It came with the request.
    Shown,
    /// There is one that this endpoint does not get to see.
    Withheld,
}

impl<'a> Subject<'a> {
    pub(crate) fn repo(repo: &'a RepoId, intent: Intent) -> Self {
        Self { repo, revision: None, file: None, intent }
    }
}

/// Bytes of the Hub's own words that are passed on.
const MOST_WORDS: usize = 200;

/// The error that an answer stands for: by the Hub's `X-Error-Code`, else by the status.
pub(crate) fn refusal(answer: &Answer, subject: &Subject<'_>, endpoint: &str, token: TokenUse) -> Error {
    let (repo, endpoint) = (subject.repo.to_string(), endpoint.to_owned());
    let code = answer.header("X-Error-Code").unwrap_or_default();
    let message = words(answer.header("X-Error-Message").unwrap_or_default());
    let retry_after = retry_after(answer);
    match (answer.status, code) {
        (429, _) => Error::RateLimited { retry_after },
        (status @ (408 | 500..=599), _) => Error::Unavailable { host: answer.host(), status, retry_after },
        // Storage has its own reasons, which say nothing about the repository.
        _ if !answer.from_hub => unexpected(answer, &message),
        (_, "GatedRepo") => Error::Gated { repo, endpoint },
        (401, _) => match token {
            TokenUse::Withheld => Error::TokenWithheld { endpoint },
            TokenUse::Shown => Error::TokenRefused { repo, endpoint },
            TokenUse::None => Error::TokenMissing { repo, endpoint },
        },
        (403, _) => {
            let action = match subject.intent {
                Intent::Read => "read",
                Intent::Write => "write to",
            };
            Error::Forbidden { action, repo, endpoint, message }
        }
        (404, code) => missing(code, subject, endpoint),
        _ => unexpected(answer, &message),
    }
}

fn missing(code: &str, subject: &Subject<'_>, endpoint: String) -> Error {
    let repo = subject.repo.to_string();
    match (code, subject.revision, subject.file) {
        ("RevisionNotFound", Some(revision), _) => {
            Error::RevisionNotFound { repo, revision: revision.to_string() }
        }
        // Without a code, the repository itself may be missing. The list of its files, which is asked for
        // next, tells.
        ("EntryNotFound" | "", Some(revision), Some(file)) => {
            let (revision, file) = (revision.to_string(), file.to_owned());
            Error::FileNotFound { repo, revision, file, files: Vec::new() }
        }
        _ => Error::RepoNotFound { repo, endpoint },
    }
}

fn unexpected(answer: &Answer, message: &str) -> Error {
    let words = if message.is_empty() { String::new() } else { format!(", {message}") };
    Error::protocol(&answer.uri.to_string(), format!("status {}{words}", answer.status))
}

fn words(message: &str) -> String {
    message.chars().filter(|c| !c.is_control()).take(MOST_WORDS).collect()
}

/// Seconds to wait: of `Retry-After`, else of the Hub's `RateLimit: "api";r=0;t=55`. A date is not understood.
fn retry_after(answer: &Answer) -> Option<Duration> {
    let plain = answer.header("Retry-After").and_then(|value| value.trim().parse().ok());
    let reset = || {
        let parts = answer.header("RateLimit")?.split(';');
        parts.filter_map(|part| part.trim().strip_prefix("t=")).find_map(|value| value.trim().parse().ok())
    };
    plain.or_else(reset).map(Duration::from_secs)
}
