//! How images of any shape become squares of one size.

use std::borrow::Cow;

use image::{RgbImage, imageops};
use rand::RngCore as _;
use serde::{Deserialize, Serialize};

use crate::pixels::{resize_to, stretch};
use crate::random::{self, Purpose};

/// How images are made to fit, before anything else happens to them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fitting {
    /// How a rectangle becomes a square.
    pub resize: Resize,
    /// Which side of an image is up.
    pub orientation: Orientation,
}

/// Which side of an image is up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Orientation {
    /// As it is stored: what published models saw, and PIL's `convert("RGB")` gives.
    #[default]
    AsStored,
    /// As its EXIF orientation says.
    Upright,
}

/// How a rectangle becomes a square.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Resize {
    /// Both sides are scaled, each by its own factor, as published.
    #[default]
    Stretch,
    /// The middle square.
    Crop,
    /// A square window, whose place along the longer side is drawn anew each time a training sees the image; scores and
    /// whatever else reads the images see the middle.
    RandomCrop,
    /// The whole image in the middle of a white square.
    Pad,
}

/// Where a window lies: 0 at the top or left end, 1 at the other.
pub(crate) const MIDDLE: f64 = 0.5;

/// Pixels of a square of this side.
/// - `window`: where [`Resize::RandomCrop`] cuts
pub(crate) fn fit(image: &RgbImage, px: usize, resize: Resize, window: f64) -> Vec<u8> {
    let image = match resize {
        Resize::Stretch => Cow::Borrowed(image),
        Resize::Crop => cut(image, MIDDLE),
        Resize::RandomCrop => cut(image, window),
        Resize::Pad => return pad(image, px),
    };
    stretch(image.as_raw(), image.dimensions(), px)
}

/// One window for each of `count` consecutive places of an epoch, from `place` on. The window of a place does
/// not depend on the batch, the part of a batch or the thread that it belongs to.
pub(crate) fn windows(seed: u64, epoch: usize, place: usize, count: usize) -> Vec<f64> {
    let mut rng = random::stream(seed, Purpose::Window, epoch as u64);
    // A word of the stream for each place.
    rng.set_word_pos(place as u128);
    (0..count).map(|_| f64::from(rng.next_u32()) / f64::from(u32::MAX)).collect()
}

fn cut(image: &RgbImage, window: f64) -> Cow<'_, RgbImage> {
    let (width, height) = image.dimensions();
    let side = width.min(height);
    let start = |length: u32| (f64::from(length - side) * window).round() as u32;
    if width == height {
        return Cow::Borrowed(image);
    }
    Cow::Owned(imageops::crop_imm(image, start(width), start(height), side, side).to_image())
}

/// The whole image in the middle of a white square. It is scaled first: a square around a long image may be huge.
fn pad(image: &RgbImage, px: usize) -> Vec<u8> {
    let (width, height) = image.dimensions();
    let side = u64::from(width.max(height).max(1));
    let px = px as u32;
    let scaled = |length: u32| {
        let exact = u64::from(length) * u64::from(px);
        ((exact + side / 2) / side).clamp(1, u64::from(px)) as u32
    };
    let size = (scaled(width), scaled(height));
    let small = resize_to(image.as_raw(), (width, height), size);
    let mut square = vec![255; 3 * px as usize * px as usize];
    let (left, top) = ((px - size.0) / 2, (px - size.1) / 2);
    let row_len = 3 * size.0 as usize;
    for (y, row) in small.chunks_exact(row_len).enumerate() {
        let start = 3 * ((top as usize + y) * px as usize + left as usize);
        square[start..start + row_len].copy_from_slice(row);
    }
    square
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Black but for a white column at `x`.
    fn striped(width: u32, height: u32, x: u32) -> RgbImage {
        RgbImage::from_fn(width, height, |column, _| image::Rgb([if column == x { 255 } else { 0 }; 3]))
    }

    /// The red values of the first row.
    fn row(image: &RgbImage, px: usize, resize: Resize, window: f64) -> Vec<u8> {
        fit(image, px, resize, window).chunks(3).take(px).map(|pixel| pixel[0]).collect()
    }

    #[test]
    fn a_square_is_left_as_it_is() {
        let image = striped(4, 4, 1);
        for resize in [Resize::Stretch, Resize::Crop, Resize::RandomCrop, Resize::Pad] {
            assert_eq!(row(&image, 4, resize, 0.9), [0, 255, 0, 0], "{resize:?}");
        }
    }

    #[test]
    fn a_window_lies_where_it_is_told_to() {
        let image = striped(8, 4, 3);
        assert_eq!(row(&image, 4, Resize::Crop, 0.0), [0, 255, 0, 0]);
        assert_eq!(row(&image, 4, Resize::RandomCrop, 0.0), [0, 0, 0, 255]);
        assert_eq!(row(&image, 4, Resize::RandomCrop, 0.75), [255, 0, 0, 0]);
        assert_eq!(row(&image, 4, Resize::RandomCrop, 1.0), [0, 0, 0, 0]);
        // Along the longer side alone.
        let upright = imageops::rotate90(&image);
        assert_eq!(fit(&upright, 4, Resize::RandomCrop, 0.75)[..12], [255; 12]);
    }

    #[test]
    fn windows_lie_everywhere_and_belong_to_their_places() {
        let whole = windows(3, 5, 0, 1000);
        assert_eq!(windows(3, 5, 17, 100), whole[17..117]);
        assert_ne!(windows(3, 6, 0, 1000), whole);
        // A standard deviation of the mean is 0.009.
        assert!((whole.iter().sum::<f64>() / 1000.0 - 0.5).abs() < 0.06);
        assert!(whole.iter().all(|at| (0.0..=1.0).contains(at)));
    }

    #[test]
    fn padding_is_white_and_keeps_the_whole_image() {
        let image = striped(2, 4, 9);
        assert_eq!(row(&image, 4, Resize::Pad, 0.0), [255, 0, 0, 255]);
        assert_eq!(row(&imageops::rotate90(&image), 4, Resize::Pad, 0.0), [255; 4]);
        // Of a long image, no square of its length is made.
        let long = RgbImage::new(200_000, 1);
        assert_eq!(row(&long, 4, Resize::Pad, 0.0), [255; 4]);
        let black =
            fit(&long, 4, Resize::Pad, 0.0).into_iter().filter(|level| *level == 0).collect::<Vec<_>>();
        assert_eq!(black.len(), 12);
    }
}
