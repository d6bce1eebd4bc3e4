//! How images become batches.

use std::ops::Range;

use crate::{Error, Flip, OnBadImage, Result, Sampling};

/// Which part of every batch a loader gives, when several workers train one model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    /// Which one, below `count`.
    pub index: usize,
    /// Parts that a batch has, at least 1.
    pub count: usize,
}

impl Shard {
    /// Whole batches.
    pub const WHOLE: Self = Self { index: 0, count: 1 };

    /// The places of its images in a batch of so many. Parts differ in size by no more than one image; the first are the
    /// larger ones.
    pub(crate) const fn of(self, images: usize) -> Range<usize> {
        let (share, rest) = (images / self.count, images % self.count);
        let larger_before = if self.index < rest { self.index } else { rest };
        let start = self.index * share + larger_before;
        start..start + share + (self.index < rest) as usize
    }
}

/// How images become batches.
#[derive(Clone, Debug)]
pub struct LoaderConfig {
    /// Images per batch, at least 1, all parts together; the last batch of an epoch may have fewer.
    pub batch_size: usize,
    /// The part of every batch to load; images of the others are not touched. It is empty where a batch has fewer images
    /// than parts.
    pub shard: Shard,
    /// Everything random follows from it.
    pub seed: u64,
    /// In which order an epoch visits the images.
    pub sampling: Sampling,
    /// Which images may be mirrored as they are drawn; without it none is.
    pub flip: Option<Flip>,
    /// Threads that load images, at least 1.
    pub workers: usize,
    /// Batches in flight ahead of the consumer, at least 1; they bound the memory in use.
    pub prefetch: usize,
    /// What to do about an image that cannot be decoded.
    pub on_bad_image: OnBadImage,
}

impl LoaderConfig {
    /// Whole class-balanced batches, no image mirrored, loaded by two threads, four batches ahead; a bad image is an error.
    pub const fn new(batch_size: usize, seed: u64) -> Self {
        Self {
            batch_size,
            shard: Shard::WHOLE,
            seed,
            sampling: Sampling::ClassBalanced,
            flip: None,
            workers: 2,
            prefetch: 4,
            on_bad_image: OnBadImage::Stop,
        }
    }

    pub(crate) fn validate(&self) -> Result<()> {
        let Shard { index, count } = self.shard;
        for (field, value) in [
            ("batch_size", self.batch_size),
            ("shard.count", count),
            ("workers", self.workers),
            ("prefetch", self.prefetch),
        ] {
            if value == 0 {
                return Err(Error::InvalidConfig { field, got: "0".to_owned(), want: "at least 1" });
            }
        }
        if index >= count {
            let want = "below `shard.count`";
            return Err(Error::InvalidConfig { field: "shard.index", got: index.to_string(), want });
        }
        Ok(())
    }
}
