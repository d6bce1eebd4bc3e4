//! 8-bit pixels: stretched to another size, and as the numbers that networks take.

use fast_image_resize::{
    FilterType, ResizeAlg, ResizeOptions, Resizer,
    images::{TypedImage, TypedImageRef},
    pixels::U8x3,
};

/// A grey level in `[-1, 1]`, in the `f32` steps of torchvision's `ToTensor` and `Normalize(0.5, 0.5)`.
pub(crate) fn signed(level: u8) -> f32 {
    (f32::from(level) / 255.0 - 0.5) / 0.5
}

/// The grey level nearest to a value in `[-1, 1]`.
pub(crate) fn level(signed: f32) -> u8 {
    // Casts from `f32` end at 0 and 255.
    (signed * 127.5 + 127.5).round() as u8
}

/// Interleaved RGB as three planes in `[-1, 1]`. `planes` holds as many values as `rgb`.
pub(crate) fn write_planes(rgb: &[u8], planes: &mut [f32]) {
    let plane_len = planes.len() / 3;
    for (channel, plane) in planes.chunks_exact_mut(plane_len).enumerate() {
        for (value, pixel) in plane.iter_mut().zip(rgb.chunks_exact(3)) {
            *value = signed(pixel[channel]);
        }
    }
}

/// Stretches interleaved RGB of `width × height` to `px × px` with a bilinear filter that widens
/// when it shrinks, rounding to 8 bits after each pass: PIL's `resize((px, px), BILINEAR)`, at most
/// one level off in a few values of a hundred (PIL's weights have 22 bits, these 15).
pub(crate) fn stretch(rgb: &[u8], (width, height): (u32, u32), px: usize) -> Vec<u8> {
    // As PIL did up to version 12. One call would do the vertical pass first, and round a fifth of all
    // values differently.
    let px = px as u32;
    resize_to(rgb, (width, height), (px, px))
}

/// [`stretch`] to any size.
pub(crate) fn resize_to(rgb: &[u8], (width, height): (u32, u32), size: (u32, u32)) -> Vec<u8> {
    let narrow = resize(rgb, (width, height), (size.0, height));
    resize(&narrow, (size.0, height), size)
}

#[expect(clippy::expect_used, reason = "fails only for buffers of other sizes than they are made here")]
fn resize(rgb: &[u8], (width, height): (u32, u32), (new_width, new_height): (u32, u32)) -> Vec<u8> {
    let mut resized = vec![0; 3 * new_width as usize * new_height as usize];
    let source = TypedImageRef::<U8x3>::from_buffer(width, height, rgb).expect("three bytes per pixel");
    let mut target =
        TypedImage::from_buffer(new_width, new_height, &mut resized).expect("three bytes per pixel");
    let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Bilinear));
    // The untyped call would compile the code for every other kind of pixel into this crate.
    Resizer::new().resize_typed(&source, &mut target, &options).expect("the whole source is in the source");
    resized
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_found_again() {
        for grey in 0..=255 {
            assert_eq!(level(signed(grey)), grey);
        }
        assert_eq!([level(-1.1), level(1.1)], [0, 255]);
    }
}
