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
    /// A tensor of another shape than the batch needs.
    #[error("{what} has shape {got:?}, but must have {want:?}")]
    Shape {
        /// Which tensor.
        what: String,
        /// Its shape.
        got: Vec<usize>,
        /// The shape it should have.
        want: Vec<usize>,
    },
    /// Somebody asked to stop.
    #[error("stopped, as asked")]
    Stopped,
    /// Another number of label kinds than the network was trained with.
    #[error("conditions have {got} kinds of labels, but the sampler was made for {want}")]
    LabelKinds {
        /// Label kinds given.
        got: usize,
        /// Label kinds the sampler knows null tokens of.
        want: usize,
    },
    /// The network answered with NaN or infinity.
    #[error(
        "the network's prediction at timestep {t} is not finite; are its weights whole, and of this architecture?"
    )]
    NonFinite {
        /// The timestep of the evaluation.
        t: u32,
    },
    /// A schedule or a student's configuration that cannot be sampled.
    #[error(transparent)]
    Sched(#[from] cccm_sched::Error),
    /// A tensor operation, the network, the noise or the observer failed.
    #[error(transparent)]
    Candle(#[from] candle_core::Error),
}

impl Error {
    pub(crate) fn invalid(field: &'static str, got: impl std::fmt::Display, want: &'static str) -> Self {
        Self::InvalidConfig { field, got: got.to_string(), want }
    }
}
