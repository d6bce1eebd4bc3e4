//! In which order the values of images lie.

use candle_core::{Result, Tensor, bail};

/// Which dimensions of a tensor of images are which.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ImageLayout {
    /// `(batch, channels, height, width)`, PyTorch's and candle's usual order, and the fast one on CPUs.
    #[default]
    ChannelsFirst,
    /// `(batch, height, width, channels)`, the fast order on NVIDIA GPUs.
    ChannelsLast,
}

impl ImageLayout {
    /// The order that operations of this crate compute in for a tensor on its device; in the other one they put the
    /// values into this order first.
    pub fn fastest_for(tensor: &Tensor) -> Self {
        if cfg!(feature = "cuda") && tensor.device().is_cuda() {
            Self::ChannelsLast
        } else {
            Self::ChannelsFirst
        }
    }

    /// `x` in the order `to`: a view where both orders are one, a tensor whose values were moved otherwise.
    ///
    /// # Errors
    /// When `x` has not four dimensions.
    pub fn convert(self, x: &Tensor, to: Self) -> Result<Tensor> {
        match (self, to) {
            (Self::ChannelsFirst, Self::ChannelsLast) => x.permute((0, 2, 3, 1))?.contiguous(),
            (Self::ChannelsLast, Self::ChannelsFirst) => x.permute((0, 3, 1, 2))?.contiguous(),
            _ => Ok(x.clone()),
        }
    }

    /// Sizes of `x`, whatever their order.
    pub(crate) fn sizes(self, op: &str, x: &Tensor) -> Result<ImageSizes> {
        match (self, x.dims()) {
            (Self::ChannelsFirst, &[batch, channels, height, width])
            | (Self::ChannelsLast, &[batch, height, width, channels]) => {
                Ok(ImageSizes { batch, channels, height, width })
            }
            _ => bail!("{op}: `x` must be {}, got {:?}", self.dims(), x.shape()),
        }
    }

    /// Index of the channels' dimension.
    pub(crate) fn channel_dim(self) -> usize {
        match self {
            Self::ChannelsFirst => 1,
            Self::ChannelsLast => 3,
        }
    }

    fn dims(self) -> &'static str {
        match self {
            Self::ChannelsFirst => "(batch, c, h, w)",
            Self::ChannelsLast => "(batch, h, w, c)",
        }
    }
}

/// The four dimensions of images by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ImageSizes {
    pub(crate) batch: usize,
    pub(crate) channels: usize,
    pub(crate) height: usize,
    pub(crate) width: usize,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{assert_close, values};

    #[test]
    fn there_and_back() -> Result<()> {
        let x = values(&[2, 3, 4, 5], 1)?;
        let (first, last) = (ImageLayout::ChannelsFirst, ImageLayout::ChannelsLast);
        let moved = first.convert(&x, last)?;
        assert_eq!(moved.dims(), [2, 4, 5, 3]);
        assert_eq!(first.sizes("test", &x)?, last.sizes("test", &moved)?);
        assert_close("back", &last.convert(&moved, first)?, &x, 0.0);
        assert_eq!(ImageLayout::fastest_for(&x), first);
        let message = last.sizes("test", &values(&[3], 1)?).unwrap_err().to_string();
        assert!(message.contains("test: `x` must be (batch, h, w, c), got [3]"), "{message}");
        Ok(())
    }
}
