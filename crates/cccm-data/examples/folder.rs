//! Counts the combinations of a folder of images and loads an epoch of batches:
//! `cargo run -p cccm-data --example folder -- ROOT [PX]`. Without ROOT it draws a small folder first.

use std::{fs, io::Write as _, io::stdout, path::Path, path::PathBuf, sync::Arc, time::Instant};

use cccm_data::{
    CombinationFilter, Dataset as _, FolderConfig, FolderDataset, KnownLabels, Loader, LoaderConfig,
    OnBadImage, combination_counts, discover,
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

    let vocabulary = discover(&root, &KnownLabels::default())?;
    let (combinations, on_bad_image) = (CombinationFilter::all(), OnBadImage::Stop);
    let config = FolderConfig { combinations, on_bad_image, ..FolderConfig::new(vocabulary, image_px) };
    let dataset = Arc::new(FolderDataset::open(&root, &config)?);
    let mut out = stdout();
    for (combination, count) in combination_counts(&*dataset) {
        writeln!(out, "{count:6} {}", dataset.vocabulary().folder_name(&combination))?;
    }

    let started = Instant::now();
    let loader = Loader::new(dataset.clone(), &LoaderConfig::new(16, 0))?;
    let steps = loader.steps_per_epoch();
    for batch in loader.take(steps) {
        let batch = batch?;
        if batch.index_in_epoch == 0 {
            writeln!(out, "x_0 {:?}, labels {:?}", batch.x_0.dims(), batch.labels)?;
        }
    }
    let rate = dataset.len() as f64 / started.elapsed().as_secs_f64();
    Ok(writeln!(out, "{rate:.0} images a second")?)
}

/// Three combinations of colour and brightness, three images each.
fn draw_folder(root: &Path) -> anyhow::Result<PathBuf> {
    for (combination, color) in
        [("pale_red", [255, 160, 160]), ("pale_blue", [160, 160, 255]), ("dark_red", [120, 0, 0])]
    {
        fs::create_dir(root.join(combination))?;
        for number in 0..3 {
            RgbImage::from_pixel(20 + number, 30, Rgb(color))
                .save(root.join(format!("{combination}/{number}.png")))?;
        }
    }
    Ok(root.to_owned())
}
