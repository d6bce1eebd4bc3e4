//! PNG files that exist whole or not at all.

use std::io::{BufWriter, Write};
use std::path::Path;

use anyhow::{Context, Result};
use cccm_files::{Pending, create_dirs};
use image::RgbImage;
use png::{BitDepth, ColorType, Encoder, EncodingError};

use crate::bands::Bands;

/// Rows of a picture that are held at a time.
const BAND_ROWS: u32 = 256;

/// An image as the bytes of a PNG file; equal input gives equal bytes.
/// - `text`: keyword and text, as viewers show under "comments"; a keyword has 1 to 79 Latin-1 characters
///
/// # Errors
/// For a keyword that PNG files cannot have.
pub fn encode_png(image: &RgbImage, text: &[(&str, &str)]) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    encode(&mut bytes, image, text)?;
    Ok(bytes)
}

fn encode(out: &mut impl Write, picture: &impl Bands, text: &[(&str, &str)]) -> Result<(), EncodingError> {
    let (width, height) = picture.size();
    let mut encoder = Encoder::new(out, width, height);
    encoder.set_color(ColorType::Rgb);
    encoder.set_depth(BitDepth::Eight);
    for (keyword, text) in text {
        encoder.add_itxt_chunk((*keyword).to_owned(), (*text).to_owned())?;
    }
    let mut writer = encoder.write_header()?;
    let mut rows = writer.stream_writer()?;
    for start in (0..height).step_by(BAND_ROWS as usize) {
        rows.write_all(picture.band(start..height.min(start + BAND_ROWS)).as_raw())?;
    }
    rows.finish()?;
    writer.finish()
}

/// Writes a PNG file, band by band, with the folders above it; an older file of this name is replaced in one step.
/// - `text`: as for [`encode_png`]
///
/// # Errors
/// As [`encode_png`], and those of the file system.
pub fn write_png(path: &Path, picture: &impl Bands, text: &[(&str, &str)]) -> Result<()> {
    let write = || {
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            create_dirs(folder)?;
        }
        let file = Pending::new(path, |file| {
            let mut out = BufWriter::new(file);
            encode(&mut out, picture, text)?;
            out.flush()
        });
        file?.commit()
    };
    write()
        .with_context(|| format!("cannot write {}", path.display()))
        .context("name a file in a folder that you may write to")
}

#[cfg(test)]
mod tests {
    use std::{fs, io};

    use super::*;
    use image::Rgb;

    fn picture() -> RgbImage {
        RgbImage::from_fn(5, 3, |x, y| Rgb([x as u8 * 50, y as u8 * 80, 7]))
    }

    #[test]
    fn pixels_and_text_come_back() -> Result<()> {
        let text = [("Description", "grüner Kreis, 4 steps")];
        let bytes = encode_png(&picture(), &text)?;
        assert_eq!(bytes, encode_png(&picture(), &text)?);
        assert_eq!(image::load_from_memory(&bytes)?.to_rgb8(), picture());
        let reader = png::Decoder::new(io::Cursor::new(&bytes)).read_info()?;
        let chunk = &reader.info().utf8_text[0];
        assert_eq!((chunk.keyword.as_str(), chunk.get_text()?.as_str()), text[0]);
        Ok(())
    }

    #[test]
    fn a_file_is_replaced_and_nothing_else_left() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("new/picture.png");
        write_png(&path, &RgbImage::new(1, 1), &[])?;
        write_png(&path, &picture(), &[])?;
        assert_eq!(image::open(&path)?.to_rgb8(), picture());
        assert_eq!(fs::read_dir(folder.path().join("new"))?.count(), 1);
        Ok(())
    }

    #[test]
    fn a_path_that_cannot_be_written_is_named() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let taken = folder.path().join("file");
        fs::write(&taken, "")?;
        for path in [folder.path(), &taken.join("picture.png")] {
            let message = format!("{:#}", write_png(path, &picture(), &[]).unwrap_err());
            assert!(message.contains(&path.display().to_string()), "{message}");
        }
        assert_eq!(fs::read_dir(folder.path())?.count(), 1);
        Ok(())
    }
}
