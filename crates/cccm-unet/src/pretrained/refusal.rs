//! What the Hub means by saying no.

use std::time::Duration;

use super::client::{Answer, Client};
use super::{HubError, RepoId, Revision};

/// What a request is about, for the words of its failure.
pub(super) struct Subject<'a> {
    pub(super) repo: &'a RepoId,
    pub(super) revision: Option<&'a Revision>,
    pub(super) file: Option<&'a str>,
    pub(super) intent: Intent,
}

/// What a token would have to allow.
#[derive(Clone, Copy)]
pub(super) enum Intent {
    Read,
    Write,
}

impl<'a> Subject<'a> {
    pub(super) fn repo(repo: &'a RepoId, intent: Intent) -> Self {
        Self { repo, revision: None, file: None, intent }
    }
}

/// Bytes of the Hub's own words that are passed on.
const MOST_WORDS: usize = 200;

/// The error that an answer stands for: by the Hub's `X-Error-Code`, else by the status.
pub(super) fn refusal(answer: &Answer, subject: &Subject<'_>, client: &Client) -> HubError {
    let (repo, endpoint) = (subject.repo.to_string(), client.endpoint().to_owned());
    let code = answer.header("X-Error-Code").unwrap_or_default();
    let message = words(answer.header("X-Error-Message").unwrap_or_default());
    let retry_after = retry_after(answer);
    match (answer.status, code) {
        (429, _) => HubError::RateLimited { retry_after },
        (status @ (408 | 500..=599), _) => HubError::Unavailable { host: answer.host(), status, retry_after },
        // Storage has its own reasons, which say nothing about the repository.
        _ if !answer.from_hub => unexpected(answer, &message),
        (_, "GatedRepo") => HubError::Gated { repo, endpoint },
        (401, _) if client.withholds_token() => HubError::TokenWithheld { endpoint },
        (401, _) if client.has_token() => HubError::TokenRefused { repo, endpoint },
        (401, _) => HubError::TokenMissing { repo, endpoint },
        (403, _) => {
            let action = match subject.intent {
                Intent::Read => "read",
                Intent::Write => "write to",
            };
            HubError::Forbidden { action, repo, endpoint, message }
        }
        (404, code) => missing(code, subject, endpoint),
        _ => unexpected(answer, &message),
    }
}

fn missing(code: &str, subject: &Subject<'_>, endpoint: String) -> HubError {
    let repo = subject.repo.to_string();
    match (code, subject.revision, subject.file) {
        ("RevisionNotFound", Some(revision), _) => {
            HubError::RevisionNotFound { repo, revision: revision.to_string() }
        }
        // Without a code it may be the repository that is missing: who asks for its files next will hear so.
        ("EntryNotFound" | "", Some(revision), Some(file)) => {
            let (revision, file) = (revision.to_string(), file.to_owned());
            HubError::FileNotFound { repo, revision, file, files: Vec::new() }
        }
        _ => HubError::RepoNotFound { repo, endpoint },
    }
}

fn unexpected(answer: &Answer, message: &str) -> HubError {
    let words = if message.is_empty() { String::new() } else { format!(", {message}") };
    HubError::protocol(&answer.uri.to_string(), format!("status {}{words}", answer.status))
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
