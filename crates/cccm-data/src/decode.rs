//! Image files as 8-bit RGB, whatever they hold.

use std::{
    fs::{self, File},
    io::{BufRead, BufReader, Cursor, Seek},
    path::Path,
};

use image::{
    DynamicImage, ImageDecoder, ImageReader, ImageResult, RgbImage,
    error::{ImageError, LimitError, LimitErrorKind, ParameterError, ParameterErrorKind},
};

use crate::{Error, Result, jpeg};

/// Decoded images larger than this are refused: a few compressed bytes can claim any size.
const MAX_DECODED_BYTES: u64 = 512 * 1024 * 1024;

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
    let bytes = fs::read(path).map_err(|source| Error::Io { path: path.to_owned(), source })?;
    decode_bytes(path, &bytes)
}

/// As [`decode`], of a file that has been read.
pub(crate) fn decode_bytes(path: &Path, bytes: &[u8]) -> Result<RgbImage> {
    if jpeg::is_cut_off(bytes) {
        return Err(Error::CutOffImage { path: path.to_owned() });
    }
    decoder(Cursor::new(bytes))
        .and_then(DynamicImage::from_decoder)
        .map(over_white)
        .map_err(|source| Error::Image { path: path.to_owned(), source })
}

/// The decoder that the content asks for; file names often lie.
fn decoder<'a>(bytes: impl BufRead + Seek + 'a) -> ImageResult<impl ImageDecoder + 'a> {
    let decoder = ImageReader::new(bytes).with_guessed_format()?.into_decoder()?;
    if decoder.total_bytes() > MAX_DECODED_BYTES {
        return Err(ImageError::Limits(LimitError::from_kind(LimitErrorKind::InsufficientMemory)));
    }
    if decoder.total_bytes() == 0 {
        return Err(ImageError::Parameter(ParameterError::from_kind(ParameterErrorKind::DimensionMismatch)));
    }
    Ok(decoder)
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
