#![doc = include_str!("../README.md")]

mod error;
mod groups;
mod proportion;
mod rows;

// What is recognised.
mod accuracy;
mod classifier;

// Sets of features, compared.
mod distances;
mod diversity;
mod frechet;
mod gaussian;
mod inception;
mod kernel_distance;
mod nearest;
mod precision_recall;

// Pixels, compared.
mod pixels;

pub use accuracy::{Accuracy, Combination};
pub use classifier::{
    Answers, Augmentation, Classifier, ClassifierConfig, ClassifierTraining, LabelledBatch,
};
pub use distances::{Distances, Estimate, FeatureSet};
pub use diversity::{Diversity, diversity};
pub use error::{BoxError, Error, Result};
pub use frechet::{frechet_distance, frechet_standard_error};
pub use gaussian::GaussianStats;
pub use inception::Inception;
pub use kernel_distance::{KernelDistance, KernelDistanceConfig, kernel_distance, kernel_distance_of_all};
pub use nearest::{COPY_PERCENTILE, Copies, Grouped, Nearest, mean_distance, nearest_images};
pub use pixels::{
    Background, KNOWN_BACKGROUND_STD, KnownBackground, PixelDistances, PixelFrechet, PixelReference,
    SlicedWasserstein, SlicedWassersteinConfig, halved, laplacian_pyramid,
};
pub use precision_recall::{DEFAULT_NEIGHBOURS, PrecisionRecall, precision_recall};
pub use proportion::Proportion;
