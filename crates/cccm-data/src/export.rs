//! Any dataset as folders of PNG files.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::atomic::{AtomicUsize, Ordering},
};

use image::RgbImage;
use rayon::prelude::*;

use crate::{Combination, Dataset, Error, Result, new_folder::NewFolder, pixels::level};

/// Makes the folder `out` with every image of `dataset` as `<attribute>_<object>/<number>.png`, on the
/// caller's rayon pool; numbers count from 0 within the combination, in the order of the dataset.
///
/// [`FolderDataset`](crate::FolderDataset) of the same size reads the same pixels back: exactly where
/// they came from 8 bits, else to half a level. The folder appears whole or not at all, as in
/// [`Arrangement::place`](crate::Arrangement::place).
///
/// `progress` is called with the number of images done, now and then and by any thread.
///
/// # Errors
/// [`Error::FolderTaken`] when `out` exists and is not empty, [`Error::Write`], and what hinders loading.
pub fn export(dataset: &dyn Dataset, out: &Path, progress: &(dyn Fn(usize) + Sync)) -> Result<()> {
    let folder = NewFolder::create(out)?;
    let combinations: BTreeSet<Combination> =
        (0..dataset.len()).map(|index| dataset.combination(index)).collect();
    let mut dirs = BTreeMap::new();
    for combination in combinations {
        dirs.insert(combination, folder.make_dir(&dataset.vocabulary().folder_name(&combination))?);
    }
    let done = AtomicUsize::new(0);
    let numbers = numbers(dataset);
    // As many digits as the largest number, so that names sort as they count.
    let digits = numbers.iter().max().map_or(1, |most| most.to_string().len());
    numbers.par_iter().enumerate().try_for_each(|(index, number)| -> Result<()> {
        let path = dirs[&dataset.combination(index)].join(format!("{number:0digits$}.png"));
        picture(dataset, index)?.save(&path).map_err(|error| cannot_write(&path, error))?;
        progress(done.fetch_add(1, Ordering::Relaxed) + 1);
        Ok(())
    })?;
    folder.finish()
}

/// The place of every image within its combination.
fn numbers(dataset: &dyn Dataset) -> Vec<usize> {
    let mut counts = BTreeMap::new();
    let number = |index| {
        let count = counts.entry(dataset.combination(index)).or_insert(0);
        *count += 1;
        *count - 1
    };
    (0..dataset.len()).map(number).collect()
}

fn picture(dataset: &dyn Dataset, index: usize) -> Result<RgbImage> {
    let px = dataset.image_px();
    let mut planes = vec![0.0; 3 * px * px];
    dataset.load(index, &mut planes)?;
    Ok(RgbImage::from_fn(px as u32, px as u32, |x, y| {
        let at = y as usize * px + x as usize;
        image::Rgb([0, 1, 2].map(|channel| level(planes[channel * px * px + at])))
    }))
}

fn cannot_write(path: &Path, error: image::ImageError) -> Error {
    let source = match error {
        image::ImageError::IoError(source) => source,
        other => std::io::Error::other(other),
    };
    Error::Write { path: path.to_owned(), source }
}
