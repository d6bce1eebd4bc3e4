//! Writes the four files of `mnist/` from the four official ones (gzipped IDX, in `OFFICIAL`):
//! the first 800 digits of every class to train with, the first 200 to test with, in file order.
//!
//! `cargo run -p cccm-assets --example pick_mnist -- OFFICIAL assets/mnist`

use std::{fs, io::Read, io::Write, path::Path};

use anyhow::{Context, ensure};
use flate2::{Compression, read::GzDecoder, write::GzEncoder};

const IMAGES_HEADER: usize = 16;
const LABELS_HEADER: usize = 8;
const PIXELS: usize = 28 * 28;
const CLASSES: usize = 10;

fn main() -> anyhow::Result<()> {
    let mut args = std::env::args().skip(1);
    let (from, to) = args.next().zip(args.next()).context("usage: pick_mnist OFFICIAL OUT")?;
    fs::create_dir_all(&to)?;
    for (split, per_class) in [("train", 800), ("t10k", 200)] {
        pick(split, per_class, Path::new(&from), Path::new(&to))?;
    }
    Ok(())
}

fn pick(split: &str, per_class: usize, from: &Path, to: &Path) -> anyhow::Result<()> {
    let images_name = format!("{split}-images-idx3-ubyte.gz");
    let labels_name = format!("{split}-labels-idx1-ubyte.gz");
    let images = gunzip(&from.join(&images_name))?;
    let labels = gunzip(&from.join(&labels_name))?;

    let count = u32::try_from(per_class * CLASSES)?.to_be_bytes();
    let mut picked_images = [&images[..4], &count, &images[8..IMAGES_HEADER]].concat();
    let mut picked_labels = [&labels[..4], &count].concat();
    let mut seen = [0; CLASSES];
    for (pixels, &class) in images[IMAGES_HEADER..].chunks_exact(PIXELS).zip(&labels[LABELS_HEADER..]) {
        if seen[class as usize] < per_class {
            seen[class as usize] += 1;
            picked_images.extend_from_slice(pixels);
            picked_labels.push(class);
        }
    }
    ensure!(seen == [per_class; CLASSES], "{split} has too few digits of some class: {seen:?}");

    gzip(&to.join(images_name), &picked_images)?;
    gzip(&to.join(labels_name), &picked_labels)
}

fn gunzip(path: &Path) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let file = fs::File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    GzDecoder::new(file).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn gzip(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let mut file = GzEncoder::new(fs::File::create(path)?, Compression::best());
    file.write_all(bytes)?;
    Ok(file.finish().map(drop)?)
}
