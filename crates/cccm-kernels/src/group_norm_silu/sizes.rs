//! What is normalised, and its sizes.

use candle_core::{Result, Tensor, bail};

use crate::ImageLayout;
use crate::dtype::check_parameter;
use crate::layout::ImageSizes;

/// How [`group_norm_silu`](crate::group_norm_silu) normalises.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GroupNormConfig {
    /// Groups of neighbouring channels, which divide their number.
    pub groups: usize,
    /// Added to the variance, above 0.
    pub eps: f64,
    /// Order of `x` and of the result.
    pub layout: ImageLayout,
}

impl GroupNormConfig {
    /// That many groups, channels first.
    pub const fn new(groups: usize, eps: f64) -> Self {
        Self { groups, eps, layout: ImageLayout::ChannelsFirst }
    }
}

/// Sizes of one call, checked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sizes {
    pub(super) batch: usize,
    pub(super) channels: usize,
    pub(super) groups: usize,
    pub(super) pixels: usize,
}

impl Sizes {
    pub(super) fn new(x: &Tensor, weight: &Tensor, bias: &Tensor, cfg: GroupNormConfig) -> Result<Self> {
        let ImageSizes { batch, channels, height, width } = cfg.layout.sizes("group_norm_silu", x)?;
        for (name, tensor) in [("weight", weight), ("bias", bias)] {
            if tensor.dims() != [channels] {
                bail!("group_norm_silu: `{name}` must be ({channels},), got {:?}", tensor.shape());
            }
            check_parameter("group_norm_silu", name, tensor, x)?;
        }
        if channels * height * width == 0 {
            bail!("group_norm_silu: no dimension but the batch may be 0, got `x` {:?}", x.shape());
        }
        let groups = cfg.groups;
        if groups == 0 || !channels.is_multiple_of(groups) {
            bail!("group_norm_silu: {groups} groups do not divide {channels} channels");
        }
        Ok(Self { batch, channels, groups, pixels: height * width })
    }

    pub(super) fn channels_per_group(&self) -> usize {
        self.channels / self.groups
    }

    /// Values of one sample's group.
    pub(super) fn group_len(&self) -> usize {
        self.channels_per_group() * self.pixels
    }
}
