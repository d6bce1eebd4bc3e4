//! What can go wrong in this crate.

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
        /// The range allowed.
        want: &'static str,
    },
    /// A tensor of another shape than needed.
    #[error("{what} has shape {got:?}, but must have {want}")]
    Shape {
        /// Which tensor.
        what: &'static str,
        /// Its shape.
        got: Vec<usize>,
        /// The shape it should have, in words.
        want: String,
    },
    /// A tensor operation failed.
    #[error(transparent)]
    Candle(#[from] candle_core::Error),
}

impl Error {
    pub(crate) fn invalid(field: &'static str, got: impl std::fmt::Display, want: &'static str) -> Self {
        Self::InvalidConfig { field, got: got.to_string(), want }
    }
}
