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
        // Beside folders of images, an archive that they were unpacked from, or a table about them, is no shard.
        let data = root.join(DATA);
        if listing::folders(root)?.iter().any(|folder| *folder != data) {
            return Ok(Self::Folders);
        }
        let shards = |wanted| {
            let files = listing::files_with(root, wanted)?;
            if files.is_empty() && data.is_dir() { listing::files_with(&data, wanted) } else { Ok(files) }
        };
        let (mut parquet, tar) = (shards("parquet")?, shards("tar")?);
        keep_training(&mut parquet, |path| {
            path.file_name().unwrap_or_default().to_string_lossy().into_owned()
        });
        Ok(match (parquet.is_empty(), tar.is_empty()) {
            (false, _) => Self::Parquet(parquet),
            (true, false) => Self::Tar(tar),
            (true, true) => Self::Folders,
        })
    }

    /// What to call it, and what names of its files are relative to.
    pub(crate) fn place<'a>(&'a self, root: &'a Path) -> (&'a Path, &'a Path) {
        match self {
            Self::List(list) => (list, list.parent().unwrap_or(root)),
            Self::Tar(files) | Self::Parquet(files) if files.len() == 1 => {
                (&files[0], files[0].parent().unwrap_or(root))
            }
            Self::Folders | Self::Tar(_) | Self::Parquet(_) => (root, root),
        }
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

/// The folder of shards in repositories of the Hub.
const DATA: &str = "data";

/// Of several splits, those for training.
fn keep_training<T>(files: &mut Vec<T>, name: impl Fn(&T) -> String) {
    if files.iter().any(|file| name(file).starts_with("train")) {
        files.retain(|file| name(file).starts_with("train"));
    }
}

#[cfg(not(feature = "parquet"))]
fn without_parquet(files: &[PathBuf]) -> Error {
    let path = files.first().cloned().unwrap_or_default();
    Error::Shard {
        path,
        problem: "this build does not read Parquet: it lacks the feature `parquet`".to_owned(),
    }
}

/// Which files of a folder are needed, by their names in it with `/`: a list with all images; else the Parquet files or tar shards in
/// it or in its folder `data`, of several splits those for training; else the images in the folders in it. Nothing where there is
/// none of these.
///
/// ```
/// let names = ["README.md", "data/test-00000-of-00001.parquet", "data/train-00000-of-00001.parquet"];
/// let needed = cccm_data::needed_files(&names.map(ToOwned::to_owned));
/// assert_eq!(needed, ["data/train-00000-of-00001.parquet"]);
/// ```
pub fn needed_files(names: &[String]) -> Vec<String> {
    let images = || names.iter().filter(|name| listing::is_image_name(Path::new(name)));
    let lists: Vec<String> =
        names.iter().filter(|name| metadata::NAMES.contains(&name.as_str())).cloned().collect();
    if !lists.is_empty() {
        return lists.into_iter().chain(images().cloned()).collect();
    }
    let file_name = |name: &String| name.rsplit('/').next().unwrap_or_default().to_owned();
    let shards = |wanted: &str| -> Vec<String> {
        let all = || names.iter().filter(|name| extension(Path::new(name)) == wanted);
        let top: Vec<String> = all().filter(|name| !name.contains('/')).cloned().collect();
        if !top.is_empty() {
            return top;
        }
        all()
            .filter(|name| name.rsplit_once('/').is_some_and(|(folder, _)| folder == DATA))
            .cloned()
            .collect()
    };
    let mut parquet = shards("parquet");
    keep_training(&mut parquet, file_name);
    let tar = shards("tar");
    match (parquet.is_empty(), tar.is_empty()) {
        (false, _) => parquet,
        (true, false) => tar,
        (true, true) => images().filter(|name| name.matches('/').count() == 1).cloned().collect(),
    }
}

fn extension(path: &Path) -> String {
    path.extension().unwrap_or_default().to_string_lossy().to_lowercase()
}
