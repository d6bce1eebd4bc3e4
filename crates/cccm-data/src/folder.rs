//! Images on disk: in folders `ROOT/<attribute>_<object>/*`, or labelled by a list, or in shards.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use cccm_labels::{Combination, KnownLabels, Vocabulary, nearest};

use crate::{
    Dataset, Error, FolderConfig, PassedOver, Result, Subfolders,
    dataset::check_image_px,
    fitting::MIDDLE,
    image_files::ImageFiles,
    listing,
    place::Place,
    source::{Listed, Source},
};

/// Images in folders named `<attribute>_<object>` under one root, a space also separating.
///
/// Files are chosen by extension (jpg jpeg jpe jfif png webp bmp gif tif tiff pnm ppm pgm pbm, any case; hidden ones are left
/// out, links followed), sorted by path, and decoded by content. Images are made square as [`Fitting`](crate::Fitting) says, with PIL's
/// antialiased bilinear filter; what is transparent shows white.
#[derive(Debug)]
pub struct FolderDataset {
    root: PathBuf,
    source: Source,
    files: ImageFiles,
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

        let source = Source::of(root)?;
        let files = match source.read(&KnownLabels::All(config.vocabulary.clone()), config.on_bad_image)? {
            Some(listed) => files_of_list(source.place(root).0, listed, config)?,
            None => files_of_folders(root, config)?,
        };
        Ok(Self { root: root.to_owned(), source, files })
    }

    /// The file of image `index`; for one within a shard, a path below that.
    ///
    /// # Panics
    /// When `index` is not below [`len`](Dataset::len).
    pub fn path(&self, index: usize) -> PathBuf {
        self.files.path(index)
    }

    /// How many images were left out because their headers cannot be read; 0 unless
    /// [`OnBadImage::Skip`](crate::OnBadImage::Skip) was asked for.
    pub const fn skipped(&self) -> usize {
        self.files.skipped()
    }
}

impl Dataset for FolderDataset {
    fn vocabulary(&self) -> &Vocabulary {
        self.files.vocabulary()
    }

    fn image_px(&self) -> usize {
        self.files.image_px()
    }

    fn len(&self) -> usize {
        self.files.len()
    }

    fn combination(&self, index: usize) -> Combination {
        self.files.combination(index)
    }

    fn load(&self, index: usize, out: &mut [f32]) -> Result<()> {
        self.files.load_window(index, MIDDLE, out)
    }

    fn load_window(&self, index: usize, window: f64, out: &mut [f32]) -> Result<()> {
        self.files.load_window(index, window, out)
    }

    fn describe(&self, index: usize) -> String {
        self.files.describe(index)
    }

    /// Knows a file by its path under the root and its size when the folder was opened, so that a folder
    /// may move. A file that changes and keeps its size is not noticed: that would take reading all of them.
    fn digest(&self) -> Result<String> {
        let (_, relative_to) = self.source.place(&self.root);
        Ok(self.files.digest(self.source.kind().unwrap_or("folders 1"), relative_to))
    }
}

fn files_of_folders(root: &Path, config: &FolderConfig) -> Result<ImageFiles> {
    let folders = combination_folders(root, &config.vocabulary)?;
    check_filter(root, &folders, config)?;
    let (mut files, mut passed_over) = (Vec::new(), PassedOver::default());
    for (folder, combination) in
        folders.iter().filter(|(_, combination)| config.combinations.keeps(*combination))
    {
        let images = listing::images(folder, config.subfolders)?;
        files.extend(images.files.into_iter().map(|path| (Place::File(path), *combination)));
        passed_over.add(images.passed_over);
    }
    let files = ImageFiles::open(files, config)?;
    if files.is_empty() {
        return Err(listing::no_images(root, &config.vocabulary.form(), folders.len(), &passed_over));
    }
    if !passed_over.is_empty() {
        let hint = if passed_over.in_subfolders > 0 { "; --recursive reads sub-folders" } else { "" };
        tracing::warn!("{} is read without {passed_over}{hint}", root.display());
    }
    Ok(files)
}

fn files_of_list(root: &Path, listed: Listed, config: &FolderConfig) -> Result<ImageFiles> {
    let unlabelled = listed.unlabelled;
    let mut files = listed.labelled(root, &config.vocabulary)?;
    if files.is_empty() {
        return Err(Error::EmptyList { path: root.to_owned() });
    }
    let present: BTreeSet<Combination> = files.iter().map(|(_, combination)| *combination).collect();
    let names = present.iter().map(|combination| config.vocabulary.folder_name(combination));
    check_named(root, |combination| present.contains(combination), names, config)?;
    config.combinations.kept(present)?;
    files.retain(|(_, combination)| config.combinations.keeps(*combination));
    if unlabelled > 0 {
        tracing::warn!("{} is read without {unlabelled} images that have no labels in it", root.display());
    }
    if config.subfolders == Subfolders::Read {
        tracing::warn!("--recursive is about folders: {} says itself which images there are", root.display());
    }
    ImageFiles::open(files, config)
}

fn combination_folders(root: &Path, vocabulary: &Vocabulary) -> Result<Vec<(PathBuf, Combination)>> {
    let read_name = |path: PathBuf| match vocabulary.parse_folder(&listing::name(&path)?) {
        Ok(combination) => Ok((path, combination)),
        Err(source) => Err(Error::Folder { path, source: Box::new(source) }),
    };
    let folders: Vec<(PathBuf, Combination)> =
        listing::folders(root)?.into_iter().map(read_name).collect::<Result<_>>()?;
    let mut seen = BTreeMap::new();
    for (path, combination) in &folders {
        if let Some(first) = seen.insert(*combination, path) {
            tracing::warn!(
                "{} and {} spell the same {}: their images are put together",
                first.display(),
                path.display(),
                vocabulary.noun()
            );
        }
    }
    Ok(folders)
}

fn check_filter(root: &Path, folders: &[(PathBuf, Combination)], config: &FolderConfig) -> Result<()> {
    if folders.is_empty() {
        return Err(listing::no_images(root, &config.vocabulary.form(), 0, &PassedOver::default()));
    }
    let has_folder = |combination: &Combination| folders.iter().any(|(_, other)| other == combination);
    let names = folders.iter().filter_map(|(path, _)| listing::name(path).ok());
    check_named(root, has_folder, names, config)?;
    config.combinations.kept(folders.iter().map(|(_, combination)| *combination)).map(drop)
}

/// Fails unless the data have every combination that the filter names.
fn check_named(
    root: &Path,
    has: impl Fn(&Combination) -> bool,
    names: impl Iterator<Item = String>,
    config: &FolderConfig,
) -> Result<()> {
    let Some(missing) = config.combinations.named().iter().find(|combination| !has(combination)) else {
        return Ok(());
    };
    let combination = config.vocabulary.folder_name(missing);
    let nearest = nearest(&combination, names);
    let (root, noun) = (root.to_owned(), config.vocabulary.noun());
    Err(Error::UnknownFilteredCombination { root, noun, combination, nearest })
}
