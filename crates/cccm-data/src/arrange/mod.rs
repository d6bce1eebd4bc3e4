//! From datasets as they are published to folders named by combination.

mod celeba;
mod transfer;
mod zappos50k;

use std::{
    collections::{BTreeMap, HashMap},
    path::{Path, PathBuf},
    sync::atomic::{AtomicUsize, Ordering},
};

use rayon::prelude::*;

pub use transfer::{Conversion, Transfer};

use crate::{Combination, Error, Preset, Result, Vocabulary, new_folder::NewFolder};

/// Which file belongs to which combination: a published dataset on its way to folders that
/// [`FolderDataset`](crate::FolderDataset) reads.
///
/// ```
/// # fn main() -> cccm_data::Result<()> {
/// # let dir = tempfile::tempdir().unwrap();
/// # let (images, list, out) = (dir.path().join("img"), dir.path().join("list.txt"), dir.path().join("out"));
/// # std::fs::create_dir(&images).unwrap();
/// # image::RgbImage::new(6, 8).save(images.join("000001.jpg")).unwrap();
/// # std::fs::write(&list, "1\nBlack_Hair Blond_Hair Brown_Hair Gray_Hair Male \n000001.jpg -1  1 -1 -1  1\n").unwrap();
/// use cccm_data::{Arrangement, OnBadImage, Transfer};
///
/// let celeba = Arrangement::celeba(&images, &list, OnBadImage::Stop)?;
/// celeba.place(&out, &Transfer::Copy, &|_| ())?;
/// assert!(out.join("BlondHair_Male/000001.jpg").is_file());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Arrangement {
    vocabulary: Vocabulary,
    pictures: Vec<Picture>,
    dropped: BTreeMap<String, usize>,
}

/// A file and where it belongs.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Picture {
    file: PathBuf,
    combination: Combination,
}

/// What [`Arrangement::place`] has made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placed {
    /// Images in the folder.
    pub images: usize,
    /// How many of them are symbolic links, which break when the originals move.
    pub symbolic_links: usize,
}

impl Arrangement {
    fn empty(preset: Preset) -> Self {
        Self { vocabulary: preset.vocabulary(), pictures: Vec::new(), dropped: BTreeMap::new() }
    }

    /// The labels, and with them the names of the folders.
    pub const fn vocabulary(&self) -> &Vocabulary {
        &self.vocabulary
    }

    /// How many images each combination gets; combinations without images are absent.
    pub fn combination_counts(&self) -> BTreeMap<Combination, usize> {
        let mut counts = BTreeMap::new();
        for picture in &self.pictures {
            *counts.entry(picture.combination).or_insert(0) += 1;
        }
        counts
    }

    /// How many images get a folder.
    pub const fn len(&self) -> usize {
        self.pictures.len()
    }

    /// Whether none does.
    pub const fn is_empty(&self) -> bool {
        self.pictures.is_empty()
    }

    /// How many images were left out, by reason.
    pub const fn dropped(&self) -> &BTreeMap<String, usize> {
        &self.dropped
    }

    /// Makes `out` with a folder for each combination that has images, on the caller's rayon pool. Files keep
    /// their names. The folder is filled under a hidden name beside its place and renamed at the end:
    /// what fails leaves nothing, what is killed leaves `.NAME.….partial`.
    ///
    /// `progress` is called with the number of images done, now and then and by any thread.
    ///
    /// # Errors
    /// [`Error::FolderTaken`] when `out` exists and is not empty, [`Error::SameName`] when two files of a
    /// combination have one name, [`Error::Write`], and whatever hinders reading.
    pub fn place(
        &self,
        out: &Path,
        transfer: &Transfer,
        progress: &(dyn Fn(usize) + Sync),
    ) -> Result<Placed> {
        transfer.validate()?;
        let names = self.names(transfer)?;
        let folder = NewFolder::create(out)?;
        let mut dirs = BTreeMap::new();
        for combination in self.combination_counts().into_keys() {
            dirs.insert(combination, folder.make_dir(&self.vocabulary.folder_name(&combination))?);
        }
        let (done, symbolic_links) = (AtomicUsize::new(0), AtomicUsize::new(0));
        self.pictures.par_iter().zip(&names).try_for_each(|(picture, name)| -> Result<()> {
            let is_symbolic = transfer.put(&picture.file, &dirs[&picture.combination].join(name))?;
            symbolic_links.fetch_add(usize::from(is_symbolic), Ordering::Relaxed);
            progress(done.fetch_add(1, Ordering::Relaxed) + 1);
            Ok(())
        })?;
        folder.finish()?;
        Ok(Placed { images: self.len(), symbolic_links: symbolic_links.into_inner() })
    }

    /// The name of each file in its folder.
    fn names(&self, transfer: &Transfer) -> Result<Vec<PathBuf>> {
        let mut taken = HashMap::new();
        let mut names = Vec::with_capacity(self.len());
        for Picture { file, combination } in &self.pictures {
            let name = transfer.name(file);
            if let Some(first) = taken.insert((*combination, name.clone()), file) {
                return Err(Error::SameName { first: first.clone(), second: file.clone() });
            }
            names.push(name);
        }
        Ok(names)
    }

    fn drop_for(&mut self, reason: impl Into<String>) {
        *self.dropped.entry(reason.into()).or_insert(0) += 1;
    }
}
