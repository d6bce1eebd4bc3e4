//! What can go wrong.

/// Result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Errors of this crate. Every one is found before a value is changed, [`Error::Candle`] aside.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A setting outside its range.
    #[error("`{field}` is {got}, but must be {want}")]
    InvalidConfig {
        /// Name of the field or argument.
        field: &'static str,
        /// Its value.
        got: f64,
        /// The values it may have.
        want: &'static str,
    },
    /// The loss gave no gradient for a variable.
    #[error(
        "no gradient for `{name}`; does the loss depend on it, through operations that have a backward pass?"
    )]
    MissingGradient {
        /// Name of the variable.
        name: String,
    },
    /// A map lacks a name that the other one has.
    #[error("no {what} named `{name}`; both maps must have the same names")]
    MissingName {
        /// What the map holds.
        what: &'static str,
        /// The name.
        name: String,
    },
    /// A map has a name that the other one lacks.
    #[error("nothing to match the {what} named `{name}`; both maps must have the same names")]
    UnknownName {
        /// What the map holds.
        what: &'static str,
        /// The name.
        name: String,
    },
    /// Two tensors of one name differ in shape, dtype or device.
    #[error("{what} `{name}` is {got}, but must be {want}")]
    Mismatch {
        /// What the tensor is.
        what: &'static str,
        /// Its name.
        name: String,
        /// Its dtype, shape and device.
        got: String,
        /// Those it should have.
        want: String,
    },
    /// A learning-rate schedule that does not exist.
    #[error("no learning-rate schedule `{got}`; there are {}", .names.join(", "))]
    UnknownLrSchedule {
        /// The name asked for.
        got: String,
        /// The names there are.
        names: Vec<&'static str>,
    },
    /// A tensor operation failed.
    #[error(transparent)]
    Candle(#[from] candle_core::Error),
}
