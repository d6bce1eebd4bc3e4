//! How a convolution moves over its images.

use crate::ImageLayout;

/// Stride and zero padding of a convolution, the same in both directions, and the order of its images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conv2dConfig {
    /// Input pixels from one output pixel to the next, at least 1. Default 1.
    pub stride: usize,
    /// Zeros added on each side. Default 0.
    pub padding: usize,
    /// Order of `x` and of the result. Default [`ImageLayout::ChannelsFirst`].
    pub layout: ImageLayout,
}

impl Conv2dConfig {
    /// That stride and padding, channels first.
    pub const fn new(stride: usize, padding: usize) -> Self {
        Self { stride, padding, layout: ImageLayout::ChannelsFirst }
    }
}

impl Default for Conv2dConfig {
    fn default() -> Self {
        Self::new(1, 0)
    }
}
