//! Pictures side by side.

use image::{Rgb, RgbImage, imageops};

const BACKGROUND: Rgb<u8> = Rgb([255, 255, 255]);

/// Pictures from left to right, on white; none if there are no pictures.
pub fn beside(pictures: &[RgbImage]) -> Option<RgbImage> {
    let height = pictures.iter().map(RgbImage::height).max()?;
    let mut all = RgbImage::from_pixel(pictures.iter().map(RgbImage::width).sum(), height, BACKGROUND);
    let mut left = 0;
    for picture in pictures {
        imageops::replace(&mut all, picture, left, 0);
        left += i64::from(picture.width());
    }
    Some(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_are_put_together_whole() {
        let picture = |width, height, level| RgbImage::from_pixel(width, height, Rgb([level; 3]));
        let row = beside(&[picture(2, 3, 1), picture(4, 1, 2)]).unwrap();
        assert_eq!((row.dimensions(), row.get_pixel(1, 2)[0], row.get_pixel(2, 0)[0]), ((6, 3), 1, 2));
        assert_eq!(row.get_pixel(2, 1), &BACKGROUND);
        assert!(beside(&[]).is_none());
    }
}
