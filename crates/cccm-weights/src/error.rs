//! What can go wrong in this crate.

use std::path::{Path, PathBuf};

use crate::pth::PthProblem;

/// Result of this crate's functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong in this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Weights that do not fit the network, or entries that are no weights; nothing was loaded.
    #[error("the weights of {origin} do not fit the network: {}", .problems.join("; "))]
    Parameters {
        /// The file, or whatever else they come from.
        origin: String,
        /// One entry per kind of mismatch, with the names.
        problems: Vec<String>,
    },
    /// A weight file that is no readable safetensors file.
    #[error("{} is no complete safetensors file", .path.display())]
    Safetensors {
        /// The file.
        path: PathBuf,
        /// What the reader says.
        source: safetensors::SafeTensorError,
    },
    /// A PyTorch file that is refused.
    #[error("cannot read {} as a PyTorch checkpoint", .path.display())]
    Pth {
        /// The file.
        path: PathBuf,
        /// Why.
        source: PthProblem,
    },
    /// Something else in the place of a weight file, that is often there.
    #[error("{} holds no weights: it is {what}", .path.display())]
    NotWeights {
        /// The file or folder.
        path: PathBuf,
        /// What it is, and what to do.
        what: &'static str,
    },
    /// No network in a file has this key.
    #[error("{} holds nothing under the key `{key}`; `cccm convert --list` shows what it holds", .path.display())]
    NoKey {
        /// The file.
        path: PathBuf,
        /// The key asked for.
        key: String,
    },
    /// Weights that are no numbers, as those of a training that diverged, or of a damaged file.
    #[error(
        "the tensor `{name}` of {origin} holds NaN or infinity: the weights are damaged, or of a training that diverged"
    )]
    NotFinite {
        /// The file.
        origin: String,
        /// The tensor.
        name: String,
    },
    /// A file that cannot be read or written.
    #[error("cannot {action} {}", .path.display())]
    Io {
        /// `read` or `write`.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// A tensor operation failed, mostly on shapes.
    #[error(transparent)]
    Candle(#[from] candle_core::Error),
}

impl Error {
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self::Io { action, path: path.to_owned(), source }
    }

    pub(crate) fn pth(path: &Path) -> impl FnOnce(PthProblem) -> Self {
        move |source| Self::Pth { path: path.to_owned(), source }
    }
}
