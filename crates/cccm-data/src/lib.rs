#![doc = include_str!("../README.md")]

mod error;
mod nearest;
mod vocabulary;

mod preset;

mod filter;

mod dataset;

mod pixels;

mod decode;
mod jpeg;
mod listing;

mod folder;

mod idx;

mod digits;

mod colored_mnist;

mod random;

mod shapes;

mod sampling;

mod batch;
mod loader;
mod worker;

#[cfg(feature = "candle-datasets")]
mod from_candle;

pub use batch::Batch;
pub use colored_mnist::ColoredMnist;
pub use dataset::{Dataset, OnBadImage, pair_counts};
pub use digits::{Digits, MnistSplit};
pub use error::{Error, LabelKind, Result};
pub use filter::PairFilter;
pub use folder::{FolderConfig, FolderDataset};
pub use loader::{Loader, LoaderConfig};
pub use preset::Preset;
pub use sampling::Sampling;
pub use shapes::{Shapes, ShapesConfig};
pub use vocabulary::{Pair, Vocabulary};
