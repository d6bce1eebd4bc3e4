#![doc = include_str!("../README.md")]

mod error;

// Labels.
mod discover;
mod filter;
mod preset;

// Images, and the sources they come from.
mod dataset;
mod digest;
mod pixels;

mod decode;
mod fitting;
mod folder;
mod folder_config;
mod image_files;
mod jpeg;
mod listing;
mod metadata;
#[cfg(feature = "parquet")]
mod parquet_shards;
mod place;
mod rows;
mod source;
mod tar_shards;

mod coind_mnist;
mod colored_mnist;
mod digits;
#[cfg(feature = "candle-datasets")]
mod from_candle;
mod idx;

mod shapes;
mod subset;

// Folders of images: made from what is published, from other datasets, and looked over.
mod arrange;
mod check;
mod export;
mod new_folder;

// Batches.
mod batch;
mod budget;
mod flip;
mod loader;
mod loader_config;
mod random;
mod sampling;
mod worker;

pub use arrange::{Arrangement, Conversion, Placed, Transfer};
pub use batch::Batch;
pub use cccm_labels::{Combination, KnownLabels, LabelKind, Vocabulary};
pub use check::{FolderCheck, FolderReport, Sameness, Spread, UnknownFolder, UnreadableImage};
pub use coind_mnist::{CoindMnist, CoindMnistConfig, Support};
pub use colored_mnist::ColoredMnist;
pub use dataset::{Dataset, OnBadImage, combination_counts};
pub use digits::{Digits, MnistSplit};
pub use discover::discover;
pub use error::{Error, Result};
pub use export::export;
pub use filter::CombinationFilter;
pub use fitting::{Fitting, Orientation, Resize};
pub use flip::Flip;
pub use folder::FolderDataset;
pub use folder_config::FolderConfig;
pub use listing::{PassedOver, Subfolders};
pub use loader::Loader;
pub use loader_config::{LoaderConfig, Shard};
pub use preset::Preset;
pub use sampling::Sampling;
pub use shapes::{Shapes, ShapesConfig};
pub use source::needed_files;
pub use subset::Subset;
