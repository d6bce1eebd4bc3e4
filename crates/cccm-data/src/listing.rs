//! What lies in a folder, in an order that does not depend on the file system.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::{Error, Result};

/// Extensions of files that count as images, in lower case.
const IMAGE_EXTENSIONS: [&str; 8] = ["jpg", "jpeg", "png", "webp", "bmp", "gif", "tif", "tiff"];

/// The folders directly in `dir`, sorted; hidden ones are left out, links followed. A link to
/// nowhere is an error: it may stand for a folder that would be missed.
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

/// The image files directly in `dir`, sorted, chosen by extension; hidden ones are left out, links
/// followed. A link to nowhere stays in, to be reported as unreadable.
pub(crate) fn images(dir: &Path) -> Result<Vec<PathBuf>> {
    Ok(visible(dir)?.into_iter().filter(|path| is_image_name(path) && !path.is_dir()).collect())
}

/// The last component of a path from here, as text.
pub(crate) fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// The error for a dataset folder without images.
/// - `form`: what its folders have to be called, as `<attribute>_<object>`
pub(crate) fn no_images(root: &Path, form: &str, folders: usize) -> Error {
    let (root, form) = (root.to_owned(), form.to_owned());
    Error::NoImages { root, form, extensions: IMAGE_EXTENSIONS.join(","), folders }
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

fn is_image_name(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    IMAGE_EXTENSIONS.iter().any(|known| known.eq_ignore_ascii_case(extension))
}
