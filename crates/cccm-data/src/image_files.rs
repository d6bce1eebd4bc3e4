//! Labelled image files, wherever their labels come from.

use std::path::{Path, PathBuf};

use cccm_labels::{Combination, Vocabulary};
use rayon::{iter::Either, prelude::*};

use crate::{
    Dataset, Error, Fitting, FolderConfig, OnBadImage, Orientation, Result,
    dataset::check_buffer,
    decode,
    digest::DatasetDigest,
    fitting::{MIDDLE, fit},
    pixels::write_planes,
    place::Place,
};

/// Labelled image files, in a given order.
#[derive(Debug)]
pub(crate) struct ImageFiles {
    vocabulary: Vocabulary,
    image_px: usize,
    fitting: Fitting,
    images: Vec<ImageFile>,
    skipped: usize,
}

#[derive(Debug)]
struct ImageFile {
    place: Place,
    combination: Combination,
    file_len: u64,
}

impl ImageFiles {
    /// Reads the header of each file, on the caller's rayon pool; none is decoded yet.
    ///
    /// # Errors
    /// [`Error::UnreadableImages`] unless they are skipped.
    pub(crate) fn open(files: Vec<(Place, Combination)>, config: &FolderConfig) -> Result<Self> {
        let (images, unreadable): (Vec<_>, Vec<_>) =
            files.into_par_iter().partition_map(|(place, combination)| match place.check_header() {
                Ok(header) => {
                    let image = ImageFile { place, combination, file_len: header.file_len };
                    Either::Left((image, header.is_turned))
                }
                Err(error) => Either::Right((place.path(), error)),
            });
        let skipped = unreadable.len();
        leave_out(unreadable, images.len(), config.on_bad_image)?;
        let turned = images.iter().filter(|(_, is_turned)| *is_turned).count();
        if turned > 0 && config.fitting.orientation == Orientation::AsStored {
            tracing::warn!(
                "{turned} of {} images are stored turned, by their EXIF orientation, and seen so; --upright turns them",
                images.len()
            );
        }
        Ok(Self {
            vocabulary: config.vocabulary.clone(),
            image_px: config.image_px,
            fitting: config.fitting,
            images: images.into_iter().map(|(image, _)| image).collect(),
            skipped,
        })
    }

    pub(crate) fn path(&self, index: usize) -> PathBuf {
        self.images[index].place.path()
    }

    pub(crate) const fn skipped(&self) -> usize {
        self.skipped
    }

    /// Knows a file by its path under `root`, and by its size.
    /// - `kind`: what tells the source apart
    pub(crate) fn digest(&self, kind: &str, root: &Path) -> String {
        let mut digest = DatasetDigest::new(kind, &self.vocabulary, self.image_px);
        // As published, it is what it was before there was a choice.
        if self.fitting != Fitting::default() {
            let Fitting { resize, orientation } = self.fitting;
            digest.bytes(format!("{resize:?} {orientation:?}").as_bytes());
        }
        for image in &self.images {
            digest.combination(image.combination);
            let path = image.place.path();
            for name in path.strip_prefix(root).unwrap_or(&path) {
                digest.bytes(name.as_encoded_bytes());
            }
            digest.number(image.file_len);
        }
        digest.finish()
    }
}

impl Dataset for ImageFiles {
    fn vocabulary(&self) -> &Vocabulary {
        &self.vocabulary
    }

    fn image_px(&self) -> usize {
        self.image_px
    }

    fn len(&self) -> usize {
        self.images.len()
    }

    fn combination(&self, index: usize) -> Combination {
        self.images[index].combination
    }

    fn load(&self, index: usize, out: &mut [f32]) -> Result<()> {
        self.load_window(index, MIDDLE, out)
    }

    fn load_window(&self, index: usize, window: f64, out: &mut [f32]) -> Result<()> {
        check_buffer(self.image_px, out)?;
        let place = &self.images[index].place;
        let image = decode::decode_bytes(&place.path(), &place.read()?, self.fitting.orientation)?;
        write_planes(&fit(&image, self.image_px, self.fitting.resize, window), out);
        Ok(())
    }

    fn describe(&self, index: usize) -> String {
        self.images[index].place.path().display().to_string()
    }
}

/// Continues without these files, with a warning for each, if `on_bad_image` allows it.
fn leave_out(unreadable: Vec<(PathBuf, Error)>, readable: usize, on_bad_image: OnBadImage) -> Result<()> {
    let count = unreadable.len();
    for (path, error) in unreadable {
        match on_bad_image {
            OnBadImage::Stop => {
                let (total, source) = (count + readable, Box::new(error));
                return Err(Error::UnreadableImages { count, total, first: path, source });
            }
            OnBadImage::Skip => {
                let image = path.display().to_string();
                tracing::warn!(image, error = &error as &dyn std::error::Error, "going on without an image");
            }
        }
    }
    Ok(())
}
