//! What can go wrong in this crate.

use std::path::{Path, PathBuf};

use cccm_labels::{Combination, plural, usual_kind};

/// Result of this crate's functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong in this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A configuration value outside its range.
    #[error("`{field}` is {got}, but must be {want}")]
    InvalidConfig {
        /// Name of the field, as serialized.
        field: &'static str,
        /// The value found.
        got: String,
        /// What is allowed.
        want: String,
    },
    /// No model where one was looked for.
    #[error("no model at {}: {reason}", .path.display())]
    NoModel {
        /// The path given.
        path: PathBuf,
        /// What was looked for and found.
        reason: String,
    },
    /// A file of a model that is not the one that its list of digests was written for.
    #[error(
        "{} is not as it was written, by the digest in {}: {problem}; the model was replaced in part or damaged: \
         write it again, or remove the list if you changed the file yourself",
        .path.display(), .list.display()
    )]
    NotAsWritten {
        /// The file.
        path: PathBuf,
        /// The list of digests.
        list: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// Weights that cannot be read or written, or that do not fit the network; nothing was loaded.
    #[error(transparent)]
    Weights(#[from] cccm_weights::Error),
    /// Tensors that belong to no network known here.
    #[error("the tensors of {origin} are no known network: {problem}")]
    UnknownNetwork {
        /// The file.
        origin: String,
        /// What does not fit.
        problem: String,
    },
    /// Something that tensors do not tell, and that was not given either.
    #[error("the tensors of {origin} do not tell the {what}{found}")]
    NotInTensors {
        /// The file.
        origin: String,
        /// What must be given.
        what: &'static str,
        /// What is known about it.
        found: String,
    },
    /// Label names that are not as many as the network has labels.
    #[error(
        "{origin} has {}, but {} names are given",
        counted(.found), joined(.given.iter().map(u32::to_string))
    )]
    LabelCounts {
        /// The file.
        origin: String,
        /// Labels of each kind in the tensors.
        found: Combination,
        /// Names given of each kind.
        given: Combination,
    },
    /// A `config.json` that cannot be understood.
    #[error("{} is no model configuration", .path.display())]
    ConfigJson {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: serde_json::Error,
    },
    /// A file that cannot be read or written.
    #[error("cannot {action} {}", .path.display())]
    Io {
        /// `read`, `write` or `look at`.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// Labels that are not fit for a model.
    #[error(transparent)]
    Labels(#[from] cccm_labels::Error),
    /// A schedule or student section out of range.
    #[error(transparent)]
    Sched(#[from] cccm_sched::Error),
    /// A tensor operation failed, mostly on shapes.
    #[error(transparent)]
    Candle(#[from] candle_core::Error),
}

impl Error {
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self::Io { action, path: path.to_owned(), source }
    }

    pub(crate) fn invalid(field: &'static str, got: impl std::fmt::Display, want: impl Into<String>) -> Self {
        Self::InvalidConfig { field, got: got.to_string(), want: want.into() }
    }
}

/// Numbers of labels under the usual names of their kinds: `5 attributes and 10 objects`.
pub(crate) fn counted(labels: &Combination) -> String {
    joined(labels.iter().enumerate().map(|(place, count)| format!("{count} {}", plural(&usual_kind(place)))))
}

/// `a, b and c`.
fn joined(words: impl Iterator<Item = String>) -> String {
    let words: Vec<String> = words.collect();
    match words.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
        _ => words.concat(),
    }
}
