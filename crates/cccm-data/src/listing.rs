//! What lies in a folder, in an order that does not depend on the file system.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt, fs,
    path::{Path, PathBuf},
};

use cccm_labels::spelling;
use serde::Serialize;

use crate::{Error, Result};

/// Extensions of files that count as images, in lower case.
const IMAGE_EXTENSIONS: [&str; 14] =
    ["jpg", "jpeg", "jpe", "jfif", "png", "webp", "bmp", "gif", "tif", "tiff", "pnm", "ppm", "pgm", "pbm"];

/// The images of a folder, and what else lies there.
#[derive(Debug, Default)]
pub(crate) struct Images {
    /// Sorted by path.
    pub(crate) files: Vec<PathBuf>,
    pub(crate) passed_over: PassedOver,
}

/// What is done about folders in folders.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Subfolders {
    /// Their images are passed over, and counted.
    #[default]
    PassedOver,
    /// Their images are read as those of the folder that they lie in.
    Read,
}

/// What lies in folders of images and is not read, hidden files aside.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PassedOver {
    /// Files that are no images by their extension, in lower case (`""` for none), and how many there are of each.
    pub by_extension: BTreeMap<String, usize>,
    /// Images in sub-folders.
    pub in_subfolders: usize,
}

impl PassedOver {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.by_extension.is_empty() && self.in_subfolders == 0
    }

    /// Adds what lies in another folder.
    pub(crate) fn add(&mut self, other: Self) {
        for (extension, count) in other.by_extension {
            *self.by_extension.entry(extension).or_default() += count;
        }
        self.in_subfolders += other.in_subfolders;
    }
}

impl fmt::Display for PassedOver {
    /// As `3 .heic, 1 without extension, 5 images in sub-folders`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let by_extension = self.by_extension.iter().map(|(extension, count)| match extension.as_str() {
            "" => format!("{count} without extension"),
            _ => format!("{count} .{extension}"),
        });
        let in_subfolders =
            (self.in_subfolders > 0).then(|| format!("{} images in sub-folders", self.in_subfolders));
        f.write_str(&by_extension.chain(in_subfolders).collect::<Vec<_>>().join(", "))
    }
}

/// The folders directly in `dir`, sorted; hidden ones are left out, links followed. A broken
/// link is an error: it may stand for a folder, which would be missing without notice.
pub(crate) fn folders(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut folders = Vec::new();
    for path in visible(dir)? {
        let is_folder = path.metadata().map_err(|source| Error::Io { path: path.clone(), source })?.is_dir();
        if is_folder {
            folders.push(path);
        }
    }
    Ok(folders)
}

/// The image files in `dir`, chosen by extension; hidden ones are left out, links followed. A broken link is
/// included, to be reported as unreadable.
pub(crate) fn images(dir: &Path, subfolders: Subfolders) -> Result<Images> {
    let (mut found, is_read) = (Images::default(), subfolders == Subfolders::Read);
    // Folders that were looked into, so that a link back to one of them ends.
    let mut seen = BTreeSet::from([canonical(dir)?]);
    let mut folders = vec![(dir.to_owned(), true)];
    while let Some((folder, is_top)) = folders.pop() {
        for path in visible(&folder)? {
            if path.is_dir() {
                if seen.insert(canonical(&path)?) {
                    folders.push((path, false));
                }
            } else if is_image_name(&path) {
                if is_top || is_read {
                    found.files.push(path);
                } else {
                    found.passed_over.in_subfolders += 1;
                }
            } else if is_top || is_read {
                *found.passed_over.by_extension.entry(extension(&path)).or_default() += 1;
            }
        }
    }
    found.files.sort();
    Ok(found)
}

/// The images under a folder, to be found by the names that a list has for them.
pub(crate) struct ListedImages {
    by_name: HashMap<String, PathBuf>,
    /// By their names without the extension, where one image alone has it.
    by_stem: HashMap<String, Option<PathBuf>>,
}

impl ListedImages {
    /// Those in `dir` and its sub-folders.
    pub(crate) fn of(dir: &Path) -> Result<Self> {
        let (mut by_name, mut by_stem) = (HashMap::new(), HashMap::new());
        for path in images(dir, Subfolders::Read)?.files {
            let Some(name) = path.strip_prefix(dir).ok().and_then(Path::to_str).map(slashed) else {
                continue;
            };
            by_stem
                .entry(stem(&name).to_owned())
                .and_modify(|one| *one = None)
                .or_insert_with(|| Some(path.clone()));
            by_name.insert(name, path);
        }
        Ok(Self { by_name, by_stem })
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.by_name.len()
    }

    /// The image of this name under the folder, or else the only one whose name differs in the extension alone: lists often
    /// are older than the files, which were converted since.
    pub(crate) fn find(&self, name: &str) -> Option<PathBuf> {
        let name = slashed(name);
        self.by_name.get(&name).or_else(|| self.by_stem.get(stem(&name))?.as_ref()).cloned()
    }
}

/// A relative path with `/` between its parts, in one spelling.
fn slashed(name: &str) -> String {
    let name = name.replace('\\', "/");
    spelling(name.strip_prefix("./").unwrap_or(&name)).into_owned()
}

fn stem(name: &str) -> &str {
    let start = name.rfind('/').map_or(0, |slash| slash + 1);
    name[start..].rfind('.').map_or(name, |dot| &name[..start + dot])
}

/// The files with this extension directly in `dir`, sorted.
pub(crate) fn files_with(dir: &Path, wanted: &str) -> Result<Vec<PathBuf>> {
    Ok(visible(dir)?.into_iter().filter(|path| extension(path) == wanted && path.is_file()).collect())
}

/// The last component of a path from here, as text.
///
/// # Errors
/// [`Error::NotUtf8`]: as text with gaps, two names could become one.
pub(crate) fn name(path: &Path) -> Result<String> {
    let name = path.file_name().unwrap_or_default();
    name.to_str().map(ToOwned::to_owned).ok_or_else(|| Error::NotUtf8 { path: path.to_owned() })
}

/// The error for a dataset folder without images.
/// - `form`: what its folders have to be called, as `<attribute>_<object>`
pub(crate) fn no_images(root: &Path, form: &str, folders: usize, passed_over: &PassedOver) -> Error {
    let (root, form) = (root.to_owned(), form.to_owned());
    let others =
        if passed_over.is_empty() { String::new() } else { format!(", and passed over {passed_over}") };
    Error::NoImages { root, form, extensions: IMAGE_EXTENSIONS.join(","), folders, others }
}

/// Whether a file counts as an image by its name.
pub(crate) fn is_image_name(path: &Path) -> bool {
    IMAGE_EXTENSIONS.contains(&extension(path).as_str())
}

fn extension(path: &Path) -> String {
    path.extension().unwrap_or_default().to_string_lossy().to_lowercase()
}

fn canonical(dir: &Path) -> Result<PathBuf> {
    dir.canonicalize().map_err(|source| Error::Io { path: dir.to_owned(), source })
}

fn visible(dir: &Path) -> Result<Vec<PathBuf>> {
    let unreadable = |source| Error::Io { path: dir.to_owned(), source };
    let mut paths = Vec::new();
    for entry in fs::read_dir(dir).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        if !entry.file_name().as_encoded_bytes().starts_with(b".") {
            paths.push(entry.path());
        }
    }
    paths.sort();
    Ok(paths)
}
