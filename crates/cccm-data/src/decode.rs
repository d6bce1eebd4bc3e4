//! Image files as 8-bit RGB, whatever they hold.

use std::{
    fs::File,
    io::{BufRead, BufReader, Cursor, Read, Seek},
    path::Path,
};

use image::{
    DynamicImage, ImageDecoder, ImageReader, ImageResult, RgbImage,
    error::{ImageError, LimitError, LimitErrorKind, ParameterError, ParameterErrorKind},
};

use crate::budget::{Budget, Share};
use crate::{Error, Result, jpeg};

/// Decoded images larger than this are refused: a few compressed bytes can claim any size.
const MAX_DECODED_BYTES: u64 = 512 * 1024 * 1024;
/// Files larger than this are refused.
const MAX_FILE_BYTES: u64 = 256 * 1024 * 1024;
/// Large images that are decoded at the same time share this, whatever the number of threads.
static BUDGET: Budget = Budget::new(1 << 30);
/// An image that takes less is decoded without asking: ordinary ones do.
const SMALL: u64 = 4 << 20;

/// Checks all that can be known without decoding: the format, the size, the kind of pixels. Gives
/// the size of the file, in bytes.
pub(crate) fn check_header(path: &Path) -> Result<u64> {
    let unreadable = |source| Error::Io { path: path.to_owned(), source };
    let file = File::open(path).map_err(unreadable)?;
    let file_len = file.metadata().map_err(unreadable)?.len();
    decoder(BufReader::new(file)).map_err(|source| Error::Image { path: path.to_owned(), source })?;
    Ok(file_len)
}

/// The first image of the file: 8 bits a channel, what is transparent shows white. Orientation
/// tags and colour profiles are left aside, as PIL's `convert("RGB")` does.
pub(crate) fn decode(path: &Path) -> Result<RgbImage> {
    let unreadable = |source| Error::Io { path: path.to_owned(), source };
    let file = File::open(path).map_err(unreadable)?;
    let mut bytes = Vec::new();
    file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(Error::Image { path: path.to_owned(), source: too_large() });
    }
    decode_bytes(path, &bytes)
}

/// As [`decode`], of a file that has been read.
pub(crate) fn decode_bytes(path: &Path, bytes: &[u8]) -> Result<RgbImage> {
    if jpeg::is_cut_off(bytes) {
        return Err(Error::CutOffImage { path: path.to_owned() });
    }
    decoder(Cursor::new(bytes))
        .and_then(|decoder| {
            let _share = share(&decoder);
            DynamicImage::from_decoder(decoder).map(over_white)
        })
        .map_err(|source| Error::Image { path: path.to_owned(), source })
}

/// The decoder that the content asks for; file names often lie.
fn decoder<'a>(bytes: impl BufRead + Seek + 'a) -> ImageResult<impl ImageDecoder + 'a> {
    let decoder = ImageReader::new(bytes).with_guessed_format()?.into_decoder()?;
    if decoder.total_bytes() > MAX_DECODED_BYTES {
        return Err(too_large());
    }
    if decoder.total_bytes() == 0 {
        return Err(ImageError::Parameter(ParameterError::from_kind(ParameterErrorKind::DimensionMismatch)));
    }
    Ok(decoder)
}

fn too_large() -> ImageError {
    ImageError::Limits(LimitError::from_kind(LimitErrorKind::InsufficientMemory))
}

/// The memory that decoding takes: the image as it is stored, and as 8 bits a channel, with and without transparency.
fn share(decoder: &impl ImageDecoder) -> Option<Share<'static>> {
    const RGBA_AND_RGB: u64 = 4 + 3;
    let (width, height) = decoder.dimensions();
    let pixels = u64::from(width).saturating_mul(u64::from(height));
    let bytes = decoder.total_bytes().saturating_add(pixels.saturating_mul(RGBA_AND_RGB));
    (bytes > SMALL).then(|| BUDGET.share(bytes))
}

fn over_white(image: DynamicImage) -> RgbImage {
    if !image.color().has_alpha() {
        return image.into_rgb8();
    }
    let rgba = image.into_rgba8();
    RgbImage::from_fn(rgba.width(), rgba.height(), |x, y| {
        let [red, green, blue, alpha] = rgba.get_pixel(x, y).0;
        image::Rgb([red, green, blue].map(|level| blend_over_white(level, alpha)))
    })
}

/// `alpha · level + (1 - alpha) · white`, rounded to the nearest level.
fn blend_over_white(level: u8, alpha: u8) -> u8 {
    let (level, alpha) = (u32::from(level), u32::from(alpha));
    ((level * alpha + 255 * (255 - alpha) + 127) / 255) as u8
}
