//! Counts the pairs of a folder of images and loads an epoch of batches:
//! `cargo run -p cccm-data --example folder -- ROOT [PX]`. Without ROOT it draws a small folder first.

use std::{fs, io::Write as _, io::stdout, path::Path, path::PathBuf, sync::Arc, time::Instant};

use cccm_data::{
    Dataset as _, FolderConfig, FolderDataset, Loader, LoaderConfig, OnBadImage, PairFilter, Vocabulary,
    pair_counts,
};
use image::{Rgb, RgbImage};

fn main() -> anyhow::Result<()> {
    let mut args = std::env::args().skip(1);
    let scratch = tempfile::tempdir()?;
    let root = match args.next() {
        Some(root) => PathBuf::from(root),
        None => draw_folder(scratch.path())?,
    };
    let image_px = args.next().map_or(Ok(64), |px| px.parse())?;

    let vocabulary = Vocabulary::discover(&root)?;
    let (pairs, on_bad_image) = (PairFilter::all(), OnBadImage::Stop);
    let config = FolderConfig { vocabulary, image_px, pairs, on_bad_image };
    let dataset = Arc::new(FolderDataset::open(&root, &config)?);
    let mut out = stdout();
    for (pair, count) in pair_counts(&*dataset) {
        writeln!(out, "{count:6} {}", dataset.vocabulary().folder_name(pair))?;
    }

    let started = Instant::now();
    let loader = Loader::new(dataset.clone(), &LoaderConfig::new(16, 0))?;
    let steps = loader.steps_per_epoch();
    for batch in loader.take(steps) {
        let batch = batch?;
        if batch.index_in_epoch == 0 {
            writeln!(out, "x_0 {:?}, attributes {}", batch.x_0.dims(), batch.attributes)?;
        }
    }
    let rate = dataset.len() as f64 / started.elapsed().as_secs_f64();
    Ok(writeln!(out, "{rate:.0} images a second")?)
}

/// Three pairs of colour and brightness, three images each.
fn draw_folder(root: &Path) -> anyhow::Result<PathBuf> {
    for (pair, color) in
        [("pale_red", [255, 160, 160]), ("pale_blue", [160, 160, 255]), ("dark_red", [120, 0, 0])]
    {
        fs::create_dir(root.join(pair))?;
        for number in 0..3 {
            RgbImage::from_pixel(20 + number, 30, Rgb(color))
                .save(root.join(format!("{pair}/{number}.png")))?;
        }
    }
    Ok(root.to_owned())
}
