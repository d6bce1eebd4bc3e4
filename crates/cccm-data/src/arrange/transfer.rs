//! How an image gets from where it was published to the folder of its combination.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use image::{RgbImage, imageops};

use crate::{Error, Orientation, Result, dataset::check_image_px, decode, pixels::stretch};

/// How an image gets into its folder.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Transfer {
    /// As a hard link, which takes no space and stays when the original is moved or deleted. Where the
    /// system allows none (other file systems, files of other users), as a symbolic link.
    Link,
    /// As a copy of the file.
    #[default]
    Copy,
    /// As a PNG file with other pixels.
    Convert(Conversion),
}

/// How pixels are changed: cut out, then stretched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Conversion {
    /// Side of the square that is cut out of the middle, in pixels; nothing is cut when absent.
    pub crop_px: Option<usize>,
    /// Side that images are stretched to, in pixels, as [`FolderDataset`](crate::FolderDataset) does it;
    /// the size stays when absent.
    pub image_px: Option<usize>,
}

impl Transfer {
    pub(super) fn validate(&self) -> Result<()> {
        let Self::Convert(conversion) = self else { return Ok(()) };
        conversion.image_px.map_or(Ok(()), check_image_px)?;
        match conversion.crop_px {
            Some(0) => {
                Err(Error::InvalidConfig { field: "crop_px", got: "0".to_owned(), want: "at least 1" })
            }
            _ => Ok(()),
        }
    }

    /// The name that `file` gets.
    pub(super) fn name(&self, file: &Path) -> PathBuf {
        let name = Path::new(file.file_name().unwrap_or_default());
        match self {
            Self::Link | Self::Copy => name.to_owned(),
            Self::Convert(_) => name.with_extension("png"),
        }
    }

    /// Makes `target` from `file`. Gives whether it is a symbolic link.
    pub(super) fn put(&self, file: &Path, target: &Path) -> Result<bool> {
        let cannot_write = |source| Error::Write { path: target.to_owned(), source };
        match self {
            Self::Link => link(file, target),
            Self::Copy => {
                fs::copy(file, target).map_err(|source| read_or_write_error(file, target, source))?;
                Ok(false)
            }
            Self::Convert(conversion) => {
                let image = conversion.apply(file, decode::decode(file, Orientation::AsStored)?)?;
                let mut png = io::Cursor::new(Vec::new());
                image
                    .write_to(&mut png, image::ImageFormat::Png)
                    .map_err(|source| Error::Image { path: target.to_owned(), source })?;
                fs::write(target, png.into_inner()).map_err(cannot_write)?;
                Ok(false)
            }
        }
    }
}

impl Conversion {
    fn apply(self, file: &Path, image: RgbImage) -> Result<RgbImage> {
        let image = match self.crop_px {
            Some(crop_px) => crop(file, &image, crop_px)?,
            None => image,
        };
        let Some(image_px) = self.image_px else { return Ok(image) };
        let pixels = stretch(image.as_raw(), image.dimensions(), image_px);
        // The buffer has this size: `stretch` made it.
        Ok(RgbImage::from_raw(image_px as u32, image_px as u32, pixels).unwrap_or(image))
    }
}

/// The square in the middle; of an odd remainder, the larger part is cut on the right and below.
fn crop(file: &Path, image: &RgbImage, crop_px: usize) -> Result<RgbImage> {
    let (width, height) = image.dimensions();
    if crop_px > width.min(height) as usize {
        return Err(Error::TooSmallToCrop { path: file.to_owned(), width, height, crop_px });
    }
    let px = crop_px as u32;
    Ok(imageops::crop_imm(image, (width - px) / 2, (height - px) / 2, px, px).to_image())
}

/// A link to the file itself, not to a link to it. Gives whether it is symbolic.
fn link(file: &Path, target: &Path) -> Result<bool> {
    let original = fs::canonicalize(file).map_err(|source| Error::Io { path: file.to_owned(), source })?;
    let Err(refusal) = fs::hard_link(&original, target) else { return Ok(false) };
    match symbolic_link(&original, target) {
        Ok(()) => Ok(true),
        // The reason for the hard link is the one to mend.
        Err(_) => Err(Error::Write { path: target.to_owned(), source: refusal }),
    }
}

#[cfg(unix)]
fn symbolic_link(original: &Path, target: &Path) -> io::Result<()> {
    std::os::unix::fs::symlink(original, target)
}

#[cfg(windows)]
fn symbolic_link(original: &Path, target: &Path) -> io::Result<()> {
    std::os::windows::fs::symlink_file(original, target)
}

#[cfg(not(any(unix, windows)))]
fn symbolic_link(_: &Path, _: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// `fs::copy` does not say which side failed.
fn read_or_write_error(file: &Path, target: &Path, source: io::Error) -> Error {
    match fs::File::open(file) {
        Ok(_) => Error::Write { path: target.to_owned(), source },
        Err(_) => Error::Io { path: file.to_owned(), source },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::Rgb;

    fn picture(width: u32, height: u32) -> RgbImage {
        RgbImage::from_fn(width, height, |x, y| Rgb([x as u8, y as u8, 0]))
    }

    #[test]
    fn the_middle_is_cut_out() {
        let image = crop(Path::new("x"), &picture(178, 218), 178).unwrap();
        assert_eq!((image.dimensions(), image.get_pixel(0, 0).0), ((178, 178), [0, 20, 0]));
        let image = crop(Path::new("x"), &picture(5, 4), 2).unwrap();
        assert_eq!((image.dimensions(), image.get_pixel(0, 0).0), ((2, 2), [1, 1, 0]));
        let error = crop(Path::new("x.jpg"), &picture(178, 218), 179).unwrap_err().to_string();
        assert!(error.contains("`x.jpg` is 178 × 218") && error.contains("179"), "{error}");
    }

    #[test]
    fn conversion_cuts_then_stretches() {
        let conversion = Conversion { crop_px: Some(4), image_px: Some(8) };
        let image = conversion.apply(Path::new("x"), picture(10, 4)).unwrap();
        assert_eq!((image.dimensions(), image.get_pixel(0, 0).0), ((8, 8), [3, 0, 0]));
        let same = Conversion::default().apply(Path::new("x"), picture(10, 4)).unwrap();
        assert_eq!(same, picture(10, 4));
    }

    #[test]
    fn sizes_of_nothing_are_refused() {
        let convert = |crop_px, image_px| Transfer::Convert(Conversion { crop_px, image_px }).validate();
        assert!(matches!(convert(Some(0), None), Err(Error::InvalidConfig { field: "crop_px", .. })));
        assert!(matches!(convert(None, Some(0)), Err(Error::InvalidConfig { field: "image_px", .. })));
    }
}
