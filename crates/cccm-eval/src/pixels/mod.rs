//! Distances of the pixels themselves, computed without a network.

mod background;
mod frechet;
mod picture;
mod sliced;

use candle_core::{Device, Tensor};
use cccm_sched::Streams;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use self::picture::{MIN_PX, Picture, level_sizes, rows_of_pictures};
use crate::{Estimate, Result};

pub use background::{Background, KNOWN_BACKGROUND_STD, KnownBackground};
pub use frechet::{PixelFrechet, halved};
pub use sliced::{SlicedWasserstein, SlicedWassersteinConfig};

/// How the pixels of pictures compare with those of real images.
///
/// Every score is blind to something. By design a classifier does not see grain, colour casts and veils, so
/// neither do accuracy and the distances of its features; these three scores see them. [`Self::patches`] does
/// not see where in a picture a patch lies. [`Self::pixels`] sees no fine detail, and only mean and
/// covariance at each position. [`Self::background`] sees only the corners. None of the three sees a wrong
/// label: that takes the classifier.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PixelDistances {
    /// Pictures.
    pub images: usize,
    /// Real images.
    pub real_images: usize,
    /// Sliced Wasserstein distance of 7×7 patches, finest level first (see [`SlicedWasserstein`]).
    pub patches: Vec<Estimate>,
    /// Fréchet distance of raw pixels after one halving (see [`PixelFrechet`]). It falls with the number of pictures: compare
    /// equal numbers only.
    pub pixels: Estimate,
    /// The four corners, where those of the real images are known (see [`KnownBackground`]).
    pub background: Option<Background>,
}

/// Real images, prepared once for many sets of pictures.
#[derive(Debug)]
pub struct PixelReference {
    real_images: usize,
    patches: SlicedWasserstein,
    pixels: PixelFrechet,
    background: Option<KnownBackground>,
}

impl PixelReference {
    /// The least side of images, in pixels: that of a patch.
    pub const MIN_PX: usize = 7;

    /// - `real`: `(m, channels, h, w)`, `f32` in `[-1, 1]`, on the CPU; at least two, with sides of at least 7 pixels
    /// - `streams`: decide patches, directions and resamples
    ///
    /// # Errors
    /// [`Error::Shape`](crate::Error::Shape), [`Error::TooFewRows`](crate::Error::TooFewRows),
    /// [`Error::NonFinite`](crate::Error::NonFinite).
    pub fn new(real: &Tensor, streams: &Streams) -> Result<Self> {
        Ok(Self {
            real_images: real.dim(0)?,
            patches: SlicedWasserstein::new(real, SlicedWassersteinConfig::default(), streams)?,
            pixels: PixelFrechet::new(real)?,
            background: KnownBackground::of(real)?,
        })
    }

    /// Compares pictures with the real images.
    /// - `pictures`: `(n, channels, h, w)`, `f32` in `[-1, 1]`, on the CPU; at least two, of the real images' size
    /// - `groups`: the group of each picture, such as its pair of labels
    ///
    /// # Errors
    /// [`Error::Shape`](crate::Error::Shape), [`Error::TooFewRows`](crate::Error::TooFewRows),
    /// [`Error::NonFinite`](crate::Error::NonFinite), [`Error::Groups`](crate::Error::Groups).
    pub fn distances(&self, pictures: &Tensor, groups: &[usize]) -> Result<PixelDistances> {
        Ok(PixelDistances {
            images: pictures.dim(0)?,
            real_images: self.real_images,
            patches: self.patches.distances(pictures, groups)?,
            pixels: self.pixels.distance(pictures, groups)?,
            background: self.background.as_ref().map(|known| known.compare(pictures)).transpose()?,
        })
    }
}

/// Levels of the Laplacian pyramid of pictures `(n, channels, h, w)` (Burt and Adelson 1983), finest first,
/// `f32`. Each level but the last is the difference between a picture and its halved version ([`halved`]),
/// enlarged again by repeating pixels. The last level is the first halved picture with a side of at most 16
/// pixels.
///
/// # Errors
/// [`Error::Shape`](crate::Error::Shape) for sides below 3 pixels, [`Error::NonFinite`](crate::Error::NonFinite).
pub fn laplacian_pyramid(pictures: &Tensor) -> Result<Vec<Tensor>> {
    let (rows, size) = rows_of_pictures("pictures", pictures, MIN_PX)?;
    let pyramid = |row: &[f32]| Picture { size, values: row.to_vec() }.pyramid();
    let pyramids: Vec<Vec<Picture>> = rows.par_iter().map(pyramid).collect();
    let level = |(level, (channels, h, w)): (usize, (usize, usize, usize))| -> Result<Tensor> {
        let values: Vec<f32> = pyramids.iter().flat_map(|levels| &levels[level].values).copied().collect();
        Ok(Tensor::from_vec(values, (rows.len(), channels, h, w), &Device::Cpu)?)
    };
    level_sizes(size).into_iter().enumerate().map(level).collect()
}
