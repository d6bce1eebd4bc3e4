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
    /// A timestep beyond the schedule.
    #[error("timestep {t} is outside the schedule, which has timesteps 0 to {last}")]
    TimestepOutOfRange {
        /// The first bad timestep.
        t: u32,
        /// The last timestep there is.
        last: u32,
    },
    /// Text that is no fusion schedule.
    #[error("`{text}` is no fusion schedule: {reason}; {FORMS}")]
    ParseFuse {
        /// The text as given.
        text: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A tensor operation failed, mostly on shapes.
    #[error(transparent)]
    Candle(#[from] candle_core::Error),
}

const FORMS: &str = "expected `piecewise 0.2:0.5 0.8:0.1` (progress:weight knots), `exponential 2`, `switch 0.4`, \
                     `only_teacher` or `only_ode`";

impl Error {
    pub(crate) fn invalid(field: &'static str, got: impl std::fmt::Display, want: &'static str) -> Self {
        Self::InvalidConfig { field, got: got.to_string(), want }
    }
}
