//! Pictures that are drawn while they are written, a band of rows at a time: a large picture as a whole would
//! take gigabytes.

use std::ops::Range;

use image::{Rgb, RgbImage, imageops};

pub(crate) const BACKGROUND: Rgb<u8> = Rgb([255, 255, 255]);

/// A picture that can draw any band of its rows.
pub trait Bands {
    /// Width and height, in pixels.
    fn size(&self) -> (u32, u32);

    /// The rows of this range, over the whole width.
    fn band(&self, rows: Range<u32>) -> RgbImage;

    /// All of it.
    fn whole(&self) -> RgbImage {
        self.band(0..self.size().1)
    }
}

impl Bands for RgbImage {
    fn size(&self) -> (u32, u32) {
        self.dimensions()
    }

    fn band(&self, rows: Range<u32>) -> RgbImage {
        imageops::crop_imm(self, 0, rows.start, self.width(), rows.end - rows.start).to_image()
    }
}

/// Pictures from top to bottom, on white.
pub struct Below<P>(pub Vec<P>);

impl<P: Bands> Bands for Below<P> {
    fn size(&self) -> (u32, u32) {
        let sizes = || self.0.iter().map(P::size);
        (sizes().map(|(width, _)| width).max().unwrap_or(0), sizes().map(|(_, height)| height).sum())
    }

    fn band(&self, rows: Range<u32>) -> RgbImage {
        let mut band = RgbImage::from_pixel(self.size().0, rows.end - rows.start, BACKGROUND);
        let mut top = 0;
        for picture in &self.0 {
            let bottom = top + picture.size().1;
            let (start, end) = (rows.start.max(top), rows.end.min(bottom));
            if start < end {
                let part = picture.band(start - top..end - top);
                imageops::replace(&mut band, &part, 0, i64::from(start - rows.start));
            }
            top = bottom;
        }
        band
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bands_are_parts_of_the_whole() {
        let picture =
            |width, height| RgbImage::from_fn(width, height, |x, y| Rgb([x as u8, y as u8, height as u8]));
        let all = Below(vec![picture(3, 4), picture(5, 2), picture(1, 3)]);
        let whole = all.whole();
        assert_eq!((whole.dimensions(), *whole.get_pixel(4, 5)), ((5, 9), Rgb([4, 1, 2])));
        assert_eq!(*whole.get_pixel(3, 0), BACKGROUND);
        for (start, end) in [(0, 9), (0, 1), (3, 7), (5, 6), (8, 9), (4, 4)] {
            assert_eq!(all.band(start..end), whole.band(start..end), "{start}..{end}");
        }
    }
}
