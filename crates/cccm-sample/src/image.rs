//! What becomes of sampled images: the range of pixels, and many images in one.

use candle_core::Tensor;

use crate::{Error, Result};

/// Images as pixels: `x / 2 + 0.5`, clamped to `[0, 1]`.
/// - `images`, result: any shape, float; images span `[-1, 1]`
///
/// # Errors
/// When the tensor is not of floats.
pub fn to_unit_range(images: &Tensor) -> candle_core::Result<Tensor> {
    images.affine(0.5, 0.5)?.clamp(0f32, 1f32)
}

/// The space between the cells of a [`grid`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GridConfig {
    /// Pixels between neighbouring cells, and around them all. Default 2.
    pub gap_px: usize,
    /// Value of the gaps and of cells without an image, in the range of the images. Default 1, which is white.
    pub background: f64,
}

impl Default for GridConfig {
    fn default() -> Self {
        Self { gap_px: 2, background: 1.0 }
    }
}

/// Images side by side in one, row by row.
/// - `images`: `(n, channels, height, width)`, float, `n` at least 1
/// - `columns`: images per row, at least 1
/// - result: `(channels, rows (height + gap) + gap, columns (width + gap) + gap)`, as many rows as it takes
///
/// ```
/// # use candle_core::{DType, Device, Tensor};
/// use cccm_sample::{GridConfig, grid};
/// let images = Tensor::zeros((5, 3, 8, 8), DType::F32, &Device::Cpu)?;
/// let picture = grid(&images, 3, &GridConfig::default())?; // two rows, the last cell is empty
/// assert_eq!(picture.dims(), [3, 22, 32]);
/// # Ok::<(), cccm_sample::Error>(())
/// ```
///
/// # Errors
/// [`Error::InvalidConfig`] without images or columns; [`Error::Candle`] when `images` has not four dimensions.
pub fn grid(images: &Tensor, columns: usize, cfg: &GridConfig) -> Result<Tensor> {
    let (n, channels, height, width) = images.dims4()?;
    if n == 0 {
        return Err(Error::invalid("images", "an empty batch", "at least one image"));
    }
    if columns == 0 {
        return Err(Error::invalid("columns", columns, "at least 1"));
    }
    let (gap, rows) = (cfg.gap_px, n.div_ceil(columns));
    let fill = |x: &Tensor, dim, (before, after)| extend(x, dim, (before, after), cfg.background);

    // Each cell carries the gap to its right and below; the whole then lacks the left and the upper one.
    let cells = fill(images, 3, (0, gap))?;
    let cells = fill(&cells, 2, (0, gap))?;
    let cells = fill(&cells, 0, (0, rows * columns - n))?;
    let picture = cells
        .reshape((rows, columns, channels, height + gap, width + gap))?
        .permute((2, 0, 3, 1, 4))?
        .reshape((channels, rows * (height + gap), columns * (width + gap)))?;
    Ok(fill(&fill(&picture, 1, (gap, 0))?, 2, (gap, 0))?)
}

/// `x` with slices of one value before and after it along `dim`.
fn extend(
    x: &Tensor,
    dim: usize,
    (before, after): (usize, usize),
    value: f64,
) -> candle_core::Result<Tensor> {
    let mut shape = x.dims().to_vec();
    let mut slices = |count| {
        shape[dim] = count;
        Tensor::full(value as f32, shape.as_slice(), x.device())?.to_dtype(x.dtype())
    };
    Tensor::cat(&[&slices(before)?, x, &slices(after)?], dim)
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{DType, Device};
    use proptest::prelude::*;

    #[test]
    fn range_is_halved_and_clamped() -> candle_core::Result<()> {
        let x = Tensor::new(&[-7f32, -1.0, 0.0, 0.5, 1.0, 1.5], &Device::Cpu)?;
        assert_eq!(to_unit_range(&x)?.to_vec1::<f32>()?, [0.0, 0.0, 0.5, 0.75, 1.0, 1.0]);
        Ok(())
    }

    #[test]
    fn layout_is_exact() -> anyhow::Result<()> {
        // Three images of 1x2 pixels in two columns, one pixel apart, on 9.
        let images = Tensor::new(&[1f32, 2.0, 3.0, 4.0, 5.0, 6.0], &Device::Cpu)?.reshape((3, 1, 1, 2))?;
        let picture = grid(&images, 2, &GridConfig { gap_px: 1, background: 9.0 })?;
        let want = [
            [9f32, 9., 9., 9., 9., 9., 9.],
            [9., 1., 2., 9., 3., 4., 9.],
            [9., 9., 9., 9., 9., 9., 9.],
            [9., 5., 6., 9., 9., 9., 9.],
            [9., 9., 9., 9., 9., 9., 9.],
        ];
        assert_eq!(picture.squeeze(0)?.to_vec2::<f32>()?, want);
        Ok(())
    }

    #[test]
    fn what_cannot_be_laid_out_is_named() -> anyhow::Result<()> {
        let images = Tensor::zeros((2, 3, 4, 4), DType::F32, &Device::Cpu)?;
        let cfg = GridConfig::default();
        assert!(matches!(grid(&images, 0, &cfg), Err(Error::InvalidConfig { field: "columns", .. })));
        let none = images.narrow(0, 0, 0)?;
        assert!(matches!(grid(&none, 1, &cfg), Err(Error::InvalidConfig { field: "images", .. })));
        assert!(matches!(grid(&images.squeeze(0)?.get(0)?, 1, &cfg), Err(Error::Candle(_))));
        Ok(())
    }

    proptest! {
        #[test]
        fn every_image_lies_in_its_cell(n in 1usize..8, columns in 1usize..5, gap in 0usize..3) {
            let images = Tensor::arange(0f32, (n * 2 * 3 * 4) as f32, &Device::Cpu).unwrap();
            let images = images.reshape((n, 2, 3, 4)).unwrap();
            let picture = grid(&images, columns, &GridConfig { gap_px: gap, background: -1.0 }).unwrap();
            for i in 0..n {
                let (top, left) = (gap + i / columns * (3 + gap), gap + i % columns * (4 + gap));
                let cell = picture.narrow(1, top, 3).unwrap().narrow(2, left, 4).unwrap();
                prop_assert_eq!(cell.to_vec3::<f32>().unwrap(), images.get(i).unwrap().to_vec3::<f32>().unwrap());
            }
            let empty = picture.eq(-1f32).unwrap().to_dtype(DType::F32).unwrap().sum_all().unwrap();
            let filled = picture.elem_count() as f32 - empty.to_scalar::<f32>().unwrap();
            prop_assert_eq!(filled as usize, images.elem_count());
        }
    }
}
