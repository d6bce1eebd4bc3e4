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
    /// The model has no such label, or no such kind of labels.
    #[error(transparent)]
    Labels(#[from] cccm_labels::Error),
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
