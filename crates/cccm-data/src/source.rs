//! What a dataset on disk is: folders named after labels, a list beside images, or shards.

use std::path::{Path, PathBuf};

use cccm_labels::{Combination, KnownLabels, Vocabulary};

#[cfg(feature = "parquet")]
use crate::parquet_shards;
use crate::place::Place;
use crate::rows::{Columns, Rows};
use crate::{Error, OnBadImage, Result, listing, metadata, tar_shards};

/// What a dataset on disk is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// Folders named after labels.
    Folders,
    /// `metadata.jsonl` or `metadata.csv` beside images.
    List(PathBuf),
    /// Tar shards, in the order of their names.
    Tar(Vec<PathBuf>),
    /// Parquet files, in the order of their names.
    Parquet(Vec<PathBuf>),
}

/// The labelled images of a list.
pub(crate) struct Listed {
    rows: Rows<Place>,
    /// Images that lie there too, and have no labels.
    pub(crate) unlabelled: usize,
}

impl Source {
    /// What lies at a place: a list or a shard by its name; in a folder a list before all else, then folders, then shards.
    ///
    /// # Errors
    /// [`Error::TwoLists`], [`Error::Io`].
    pub(crate) fn of(root: &Path) -> Result<Self> {
        if root.is_file() {
            return match extension(root).as_str() {
                "jsonl" | "csv" => Ok(Self::List(root.to_owned())),
                "tar" => Ok(Self::Tar(vec![root.to_owned()])),
                "parquet" => Ok(Self::Parquet(vec![root.to_owned()])),
                _ => Err(Error::UnknownSource { path: root.to_owned() }),
            };
        }
        if let Some(list) = metadata::list_in(root)? {
            return Ok(Self::List(list));
        }
        let parquet = parquet_in(root)?;
        if !parquet.is_empty() {
            return Ok(Self::Parquet(parquet));
        }
        // An archive beside the folders that it was unpacked to is no shard.
        if listing::folders(root)?.is_empty() {
            let shards = listing::files_with(root, "tar")?;
            if !shards.is_empty() {
                return Ok(Self::Tar(shards));
            }
        }
        Ok(Self::Folders)
    }

    /// What digests call it; `None` for folders.
    pub(crate) fn kind(&self) -> Option<&'static str> {
        match self {
            Self::Folders => None,
            Self::List(_) => Some("list 1"),
            Self::Tar(_) => Some("tar shards 1"),
            Self::Parquet(_) => Some("parquet 1"),
        }
    }

    /// The labels of a list or of shards, whether their images are there or not; nothing for folders.
    /// - `known`: the kinds, whose columns are read
    pub(crate) fn labels(&self, known: &KnownLabels) -> Result<Option<Rows<()>>> {
        let columns = Columns::new(known);
        Ok(Some(match self {
            Self::Folders => return Ok(None),
            Self::List(list) => metadata::read(list, &columns)?.filter_map(|_, _| Some(())),
            Self::Tar(shards) => tar_shards::read(shards, &columns)?.0.filter_map(|_, _| Some(())),
            #[cfg(feature = "parquet")]
            Self::Parquet(files) => parquet_shards::labels(files, &columns)?,
            #[cfg(not(feature = "parquet"))]
            Self::Parquet(files) => return Err(without_parquet(files)),
        }))
    }

    /// The images and labels of a list or of shards; nothing for folders.
    /// - `known`: the kinds, whose columns are read
    pub(crate) fn read(&self, known: &KnownLabels, on_missing: OnBadImage) -> Result<Option<Listed>> {
        let columns = Columns::new(known);
        let (rows, unlabelled) = match self {
            Self::Folders => return Ok(None),
            Self::List(list) => metadata::find(list, metadata::read(list, &columns)?, on_missing)?,
            Self::Tar(shards) => tar_shards::read(shards, &columns)?,
            #[cfg(feature = "parquet")]
            Self::Parquet(files) => (parquet_shards::read(files, &columns)?, 0),
            #[cfg(not(feature = "parquet"))]
            Self::Parquet(files) => return Err(without_parquet(files)),
        };
        Ok(Some(Listed { rows, unlabelled }))
    }
}

impl Listed {
    /// The labels that were found.
    ///
    /// # Errors
    /// When they are not fit for a vocabulary.
    pub(crate) fn vocabulary(&self) -> Result<Vocabulary> {
        self.rows.vocabulary()
    }

    /// The images with their labels as a vocabulary has them.
    /// - `root`: what to call the source
    ///
    /// # Errors
    /// [`Error::Line`] or [`Error::Shard`] for a label that the vocabulary does not have.
    pub(crate) fn labelled(self, root: &Path, vocabulary: &Vocabulary) -> Result<Vec<(Place, Combination)>> {
        self.rows.labelled(vocabulary).map_err(|(line, error)| {
            let (path, problem) = (root.to_owned(), error.to_string());
            if line > 0 { Error::Line { path, line, problem } } else { Error::Shard { path, problem } }
        })
    }
}

/// The Parquet files in a folder, or in its folder `data` as on the Hub; where some are of a split for training, those alone.
fn parquet_in(root: &Path) -> Result<Vec<PathBuf>> {
    let mut files = listing::files_with(root, "parquet")?;
    let data = root.join("data");
    if files.is_empty() && data.is_dir() {
        files = listing::files_with(&data, "parquet")?;
    }
    let is_training =
        |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("train"));
    if files.iter().any(is_training) {
        files.retain(is_training);
    }
    Ok(files)
}

#[cfg(not(feature = "parquet"))]
fn without_parquet(files: &[PathBuf]) -> Error {
    let path = files.first().cloned().unwrap_or_default();
    Error::Shard {
        path,
        problem: "this build does not read Parquet: it lacks the feature `parquet`".to_owned(),
    }
}

/// Which files of a repository or a folder are needed, by their names with `/`: a list with all images; else the Parquet files, of
/// several splits those for training; else tar shards; else all images.
///
/// ```
/// let names = ["README.md", "data/test-00000-of-00001.parquet", "data/train-00000-of-00001.parquet"];
/// let needed = cccm_data::needed_files(&names.map(ToOwned::to_owned));
/// assert_eq!(needed, ["data/train-00000-of-00001.parquet"]);
/// ```
pub fn needed_files(names: &[String]) -> Vec<String> {
    let file_name = |name: &str| name.rsplit('/').next().unwrap_or_default().to_owned();
    let with = |wanted: &str| -> Vec<String> {
        names.iter().filter(|name| extension(Path::new(name)) == wanted).cloned().collect()
    };
    let images = || names.iter().filter(|name| listing::is_image_name(Path::new(name))).cloned();
    let lists: Vec<String> =
        names.iter().filter(|name| metadata::NAMES.contains(&file_name(name).as_str())).cloned().collect();
    if !lists.is_empty() {
        return lists.into_iter().chain(images()).collect();
    }
    let mut parquet = with("parquet");
    if parquet.iter().any(|name| file_name(name).starts_with("train")) {
        parquet.retain(|name| file_name(name).starts_with("train"));
    }
    let tar = with("tar");
    match (parquet.is_empty(), tar.is_empty()) {
        (false, _) => parquet,
        (true, false) => tar,
        (true, true) => images().collect(),
    }
}

fn extension(path: &Path) -> String {
    path.extension().unwrap_or_default().to_string_lossy().to_lowercase()
}
