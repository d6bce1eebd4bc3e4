//! Image files as 8-bit RGB, whatever they hold.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Cursor, Read, Seek},
    path::Path,
};

use image::{
    DynamicImage, ImageDecoder, ImageReader, ImageResult, RgbImage,
    error::{ImageError, LimitError, LimitErrorKind, ParameterError, ParameterErrorKind},
    metadata::Orientation as Exif,
};

use crate::budget::{Budget, Share};
use crate::{Error, Orientation, Result, jpeg};

/// Decoded images larger than this are refused: a few compressed bytes can claim any size.
const MAX_DECODED_BYTES: u64 = 512 * 1024 * 1024;
/// Files larger than this are refused.
pub(crate) const MAX_FILE_BYTES: u64 = 256 * 1024 * 1024;
/// Large images that are decoded at the same time share this, whatever the number of threads.
static BUDGET: Budget = Budget::new(1 << 30);
/// An image that takes less is decoded without asking: ordinary ones do.
const SMALL: u64 = 4 << 20;

/// What is known of an image without decoding it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Header {
    /// Size of the file, in bytes.
    pub(crate) file_len: u64,
    /// Whether its EXIF orientation says that it is stored turned or mirrored.
    pub(crate) is_turned: bool,
}

/// Checks all that can be known without decoding: the format, the size, the kind of pixels.
pub(crate) fn check_header(path: &Path) -> Result<Header> {
    let unreadable = |source| Error::Io { path: path.to_owned(), source };
    let file = open(path)?;
    let file_len = file.metadata().map_err(unreadable)?.len();
    header(path, BufReader::new(file), file_len)
}

/// [`check_header`] of what a reader gives.
pub(crate) fn header(path: &Path, reader: impl BufRead + Seek, file_len: u64) -> Result<Header> {
    let mut decoder = decoder(reader).map_err(|source| Error::Image { path: path.to_owned(), source })?;
    Ok(Header { file_len, is_turned: exif(&mut decoder) != Exif::NoTransforms })
}

/// The first image of the file: 8 bits a channel, what is transparent shows white. Colour profiles are left aside, as PIL's
/// `convert("RGB")` does.
pub(crate) fn decode(path: &Path, orientation: Orientation) -> Result<RgbImage> {
    decode_bytes(path, &read(path)?, orientation)
}

/// The content of a file that may be an image.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let read = open(path)?.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes);
    read.map_err(|source| Error::Io { path: path.to_owned(), source })?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(Error::Image { path: path.to_owned(), source: too_large() });
    }
    Ok(bytes)
}

/// As [`decode`], of a file that has been read.
pub(crate) fn decode_bytes(path: &Path, bytes: &[u8], orientation: Orientation) -> Result<RgbImage> {
    if jpeg::is_cut_off(bytes) {
        return Err(Error::CutOffImage { path: path.to_owned() });
    }
    decoder(Cursor::new(bytes))
        .and_then(|mut decoder| {
            let _share = share(&decoder);
            let turn = match orientation {
                Orientation::AsStored => Exif::NoTransforms,
                Orientation::Upright => exif(&mut decoder),
            };
            let mut image = DynamicImage::from_decoder(decoder)?;
            image.apply_orientation(turn);
            Ok(over_white(image))
        })
        .map_err(|source| Error::Image { path: path.to_owned(), source })
}

/// Whether an image that has been read is stored turned or mirrored, by its EXIF orientation.
pub(crate) fn is_turned(bytes: &[u8]) -> bool {
    decoder(Cursor::new(bytes)).is_ok_and(|mut decoder| exif(&mut decoder) != Exif::NoTransforms)
}

/// As its EXIF orientation has it; metadata that cannot be read say nothing.
fn exif(decoder: &mut impl ImageDecoder) -> Exif {
    decoder.orientation().unwrap_or(Exif::NoTransforms)
}

/// Opens a file that can be read to its end: a pipe would be waited for.
fn open(path: &Path) -> Result<File> {
    let unreadable = |source| Error::Io { path: path.to_owned(), source };
    if path.metadata().map_err(unreadable)?.is_file() {
        File::open(path).map_err(unreadable)
    } else {
        Err(unreadable(io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file")))
    }
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

pub(crate) fn too_large() -> ImageError {
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
