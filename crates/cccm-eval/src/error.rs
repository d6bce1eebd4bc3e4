//! What can go wrong in this crate.

/// Result of this crate's functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of whoever provides images.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

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
    /// Lists that must tell of the same images, but differ in length.
    #[error("{got} {what} for {want} images")]
    Count {
        /// What the list holds.
        what: &'static str,
        /// Its length.
        got: usize,
        /// The number of images.
        want: usize,
    },
    /// A label that its kind does not have.
    #[error("label {label} of kind {kind} is out of range: there are {count} labels")]
    Label {
        /// The label's index.
        label: u32,
        /// Index of the label kind.
        kind: usize,
        /// How many labels the kind has.
        count: usize,
    },
    /// Images to train on could not be had.
    #[error("no images to train the classifier on")]
    Data(#[source] BoxError),
    /// A score needs more rows than there are.
    #[error("there are {got} rows of {what}, but this score needs at least {want}")]
    TooFewRows {
        /// Which rows.
        what: &'static str,
        /// Rows given.
        got: usize,
        /// Rows needed.
        want: usize,
    },
    /// Another number of groups than of rows.
    #[error("{got} groups are given for {want} rows of {what}; every row has one")]
    Groups {
        /// Which rows.
        what: &'static str,
        /// Groups given.
        got: usize,
        /// Rows there are.
        want: usize,
    },
    /// No group has what a score compares.
    #[error("no group can be compared: {needs}")]
    NoSharedGroup {
        /// What a group must have.
        needs: &'static str,
    },
    /// A feature or a pixel that is NaN or infinite.
    #[error("row {row} of {what} is not finite; is the network that computed it whole?")]
    NonFinite {
        /// Which rows.
        what: &'static str,
        /// The first such row.
        row: usize,
    },
    /// A covariance whose eigenvalues are no finite numbers.
    #[error(
        "the eigenvalues of a covariance cannot be found; do its numbers differ by hundreds of decimals?"
    )]
    Eigenvalues,
    /// A file that is no classifier.
    #[error("not the file of a classifier: {0}")]
    File(String),
    /// The optimizer refused its settings or gradients.
    #[error(transparent)]
    Optim(#[from] cccm_optim::Error),
    /// Weights that do not fit the classifier.
    #[error(transparent)]
    Weights(#[from] cccm_weights::Error),
    /// A network's weight that is not there.
    #[error("no weight `{name}`; is the file of this network?")]
    MissingWeight {
        /// Its name.
        name: String,
    },
    /// A network's weight of another shape than the network has.
    #[error("weight `{name}` has shape {got:?}, but this network has {want:?}; is the file of this network?")]
    WeightShape {
        /// Its name.
        name: String,
        /// Its shape.
        got: Vec<usize>,
        /// The shape it should have.
        want: Vec<usize>,
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
