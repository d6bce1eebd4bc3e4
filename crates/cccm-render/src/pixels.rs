//! From tensors to pixels.

use anyhow::{Context, Result, ensure};
use candle_core::{DType, Device, Tensor};
use image::RgbImage;

/// Which numbers are black and white.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PixelRange {
    /// `[0, 1]`.
    Unit,
    /// `[-1, 1]`, as networks see images.
    Symmetric,
}

impl PixelRange {
    /// The same images in `[0, 1]`, `f32`, on the CPU; what lies outside is clamped.
    pub(super) fn to_unit(self, images: &Tensor) -> Result<Tensor> {
        let images = images.to_device(&Device::Cpu)?.to_dtype(DType::F32)?;
        Ok(match self {
            Self::Unit => images.clamp(0f32, 1f32)?,
            Self::Symmetric => cccm_sample::to_unit_range(&images)?,
        })
    }
}

/// Images of any shape as `u8`, each value rounded to the nearest of 256 levels.
///
/// # Errors
/// When candle fails.
pub fn levels(images: &Tensor, range: PixelRange) -> Result<Tensor> {
    Ok((range.to_unit(images)? * 255.0)?.round()?.to_dtype(DType::U8)?)
}

/// One image `(3, height, width)` as pixels, each value rounded to the nearest of 256 levels.
///
/// # Errors
/// When the image has not three channels.
pub fn rgb_image(image: &Tensor, range: PixelRange) -> Result<RgbImage> {
    let (channels, height, width) = image.dims3()?;
    ensure!(channels == 3, "an image has {channels} channels, but must have 3 (red, green, blue)");
    let bytes = levels(image, range)?.permute((1, 2, 0))?.flatten_all()?.to_vec1::<u8>()?;
    RgbImage::from_raw(width as u32, height as u32, bytes).context("an image of more than 2^32 pixels")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_are_interleaved_and_levels_rounded() -> Result<()> {
        // One row of two pixels; 0.5 is level 127.5, which rounds up.
        let image = Tensor::new(&[[[0f32, 1.0]], [[0.5, 2.0]], [[-1.0, 0.1]]], &Device::Cpu)?;
        let unit = rgb_image(&image, PixelRange::Unit)?;
        assert_eq!((unit.dimensions(), unit.as_raw().as_slice()), ((2, 1), &[0, 128, 0, 255, 255, 26][..]));
        let symmetric = rgb_image(&image, PixelRange::Symmetric)?;
        assert_eq!(symmetric.as_raw().as_slice(), [128, 191, 0, 255, 255, 140]);
        Ok(())
    }

    #[test]
    fn grey_images_are_refused() -> Result<()> {
        let error =
            rgb_image(&Tensor::zeros((1, 2, 2), DType::F32, &Device::Cpu)?, PixelRange::Unit).unwrap_err();
        assert!(error.to_string().contains("1 channels, but must have 3"), "{error}");
        Ok(())
    }
}
