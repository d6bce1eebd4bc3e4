//! What can go wrong.

use std::error::Error as StdError;

/// The result of most functions here.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong. The text says what, where and how to mend it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is no model at a place that can be opened.
    #[error("cannot open the model {place}")]
    Open {
        /// The place, as it was given.
        place: String,
        /// What was looked for, and what was found instead.
        source: Box<dyn StdError + Send + Sync>,
    },
    /// The model has no such label.
    #[error("the model has no {kind} `{got}`{}; it has {}", did_you_mean(nearest.as_deref()), known.join(", "))]
    UnknownLabel {
        /// The kind of label.
        kind: String,
        /// The label that was asked for.
        got: String,
        /// The label that is spelt most alike, if any is.
        nearest: Option<String>,
        /// All labels of the kind.
        known: Vec<String>,
    },
    /// The model has no such kind of labels.
    #[error("the model has no labels of kind `{got}`; its kinds are {}", known.join(", "))]
    UnknownKind {
        /// The kind that was asked for.
        got: String,
        /// All kinds.
        known: Vec<String>,
    },
    /// There is no such setting, or it cannot have such a value.
    #[error("{0}")]
    Setting(String),
    /// Somebody asked to stop.
    #[error("stopped, as asked")]
    Stopped,
    /// Anything else; the source has the causes.
    #[error(transparent)]
    Other(#[from] anyhow::Error),
}

fn did_you_mean(nearest: Option<&str>) -> String {
    nearest.map(|nearest| format!("; did you mean `{nearest}`?")).unwrap_or_default()
}
