//! Images in folders: `ROOT/<attribute>_<object>/*`.

use std::path::{Path, PathBuf};

use cccm_labels::{Combination, Vocabulary, nearest};
use rayon::{iter::Either, prelude::*};

use crate::{
    CombinationFilter, Dataset, Error, OnBadImage, Result,
    dataset::{check_buffer, check_image_px},
    decode,
    digest::DatasetDigest,
    listing,
    pixels::{stretch, write_planes},
};

/// How a folder becomes a dataset.
#[derive(Clone, Debug)]
pub struct FolderConfig {
    /// The labels that folder names are made of; [`discover`](crate::discover()) finds them in plain cases.
    pub vocabulary: Vocabulary,
    /// Side that images are stretched to, in pixels.
    pub image_px: usize,
    /// Which combinations are used. Those it names have to be there.
    pub combinations: CombinationFilter,
    /// What to do about images whose headers cannot be read.
    pub on_bad_image: OnBadImage,
}

/// Images in folders named `<attribute>_<object>` under one root, a space also separating.
///
/// Files are chosen by extension (jpg jpeg png webp bmp gif tif tiff, any case; hidden ones are left
/// out, links followed), sorted by name, and decoded by content. Images are stretched to a square,
/// whatever their shape, with PIL's antialiased bilinear filter; what is transparent shows white.
#[derive(Debug)]
pub struct FolderDataset {
    root: PathBuf,
    vocabulary: Vocabulary,
    image_px: usize,
    images: Vec<ImageFile>,
    skipped: usize,
}

#[derive(Debug)]
struct ImageFile {
    path: PathBuf,
    combination: Combination,
    file_len: u64,
}

impl FolderDataset {
    /// Lists the images under `root` and reads the header of each, on the caller's rayon pool; none
    /// is decoded yet.
    ///
    /// # Errors
    /// [`Error::Folder`] for a folder that the vocabulary does not know,
    /// [`Error::UnknownFilteredCombination`] for a combination of the filter without a folder,
    /// [`Error::AllHeldOut`], [`Error::NoImages`], [`Error::UnreadableImages`] (unless they are
    /// skipped), [`Error::Io`] for a folder that cannot be read, and invalid settings.
    pub fn open(root: impl AsRef<Path>, config: &FolderConfig) -> Result<Self> {
        let root = root.as_ref();
        check_image_px(config.image_px)?;
        config.vocabulary.validate()?;

        let folders = combination_folders(root, &config.vocabulary)?;
        check_filter(root, &folders, config)?;
        let mut files = Vec::new();
        for (folder, combination) in
            folders.iter().filter(|(_, combination)| config.combinations.keeps(*combination))
        {
            files.extend(listing::images(folder)?.into_iter().map(|path| (path, *combination)));
        }

        let (images, unreadable) = check_headers(files);
        let skipped = unreadable.len();
        leave_out(unreadable, images.len(), config.on_bad_image)?;
        if images.is_empty() {
            return Err(listing::no_images(root, &config.vocabulary.form(), folders.len()));
        }
        let (root, vocabulary) = (root.to_owned(), config.vocabulary.clone());
        Ok(Self { root, vocabulary, image_px: config.image_px, images, skipped })
    }

    /// The file of image `index`.
    ///
    /// # Panics
    /// When `index` is not below [`len`](Dataset::len).
    pub fn path(&self, index: usize) -> &Path {
        &self.images[index].path
    }

    /// How many images were left out because their headers cannot be read; 0 unless
    /// [`OnBadImage::Skip`] was asked for.
    pub const fn skipped(&self) -> usize {
        self.skipped
    }
}

impl Dataset for FolderDataset {
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
        check_buffer(self.image_px, out)?;
        let image = decode::decode(&self.images[index].path)?;
        let square = stretch(image.as_raw(), image.dimensions(), self.image_px);
        write_planes(&square, out);
        Ok(())
    }

    fn describe(&self, index: usize) -> String {
        self.images[index].path.display().to_string()
    }

    /// Knows a file by its path under the root and its size when the folder was opened, so that a folder
    /// may move. A file that changes and keeps its size is not noticed: that would take reading all of them.
    fn digest(&self) -> Result<String> {
        let mut digest = DatasetDigest::new("folders 1", &self.vocabulary, self.image_px);
        for image in &self.images {
            digest.combination(image.combination);
            for name in image.path.strip_prefix(&self.root).unwrap_or(&image.path) {
                digest.bytes(name.as_encoded_bytes());
            }
            digest.number(image.file_len);
        }
        Ok(digest.finish())
    }
}

fn combination_folders(root: &Path, vocabulary: &Vocabulary) -> Result<Vec<(PathBuf, Combination)>> {
    let read_name = |path: PathBuf| match vocabulary.parse_folder(&listing::name(&path)) {
        Ok(combination) => Ok((path, combination)),
        Err(source) => Err(Error::Folder { path, source: Box::new(source) }),
    };
    listing::folders(root)?.into_iter().map(read_name).collect()
}

fn check_filter(root: &Path, folders: &[(PathBuf, Combination)], config: &FolderConfig) -> Result<()> {
    if folders.is_empty() {
        return Err(listing::no_images(root, &config.vocabulary.form(), 0));
    }
    let has_folder = |combination| folders.iter().any(|(_, other)| *other == combination);
    if let Some(&missing) = config.combinations.named().iter().find(|combination| !has_folder(**combination))
    {
        let combination = config.vocabulary.folder_name(&missing);
        let nearest = nearest(&combination, folders.iter().map(|(path, _)| listing::name(path)));
        let (root, noun) = (root.to_owned(), config.vocabulary.noun());
        return Err(Error::UnknownFilteredCombination { root, noun, combination, nearest });
    }
    config.combinations.kept(folders.iter().map(|(_, combination)| *combination)).map(drop)
}

/// The images whose headers can be read, and the files whose cannot, both in order.
fn check_headers(files: Vec<(PathBuf, Combination)>) -> (Vec<ImageFile>, Vec<(PathBuf, Error)>) {
    files.into_par_iter().partition_map(|(path, combination)| match decode::check_header(&path) {
        Ok(file_len) => Either::Left(ImageFile { path, combination, file_len }),
        Err(error) => Either::Right((path, error)),
    })
}

/// Goes on without these files, with a warning for each, if that is wanted.
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
