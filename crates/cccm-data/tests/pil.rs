//! Images are read and stretched as PIL does it; `fixtures/make_fixtures.py` wrote both sides.

use std::{fs, path::Path};

use cccm_data::{Dataset, FolderConfig, FolderDataset, Vocabulary};

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures");

/// The file as the dataset gives it, in grey levels: three planes.
fn read(file: &Path, image_px: usize) -> anyhow::Result<Vec<u8>> {
    let root = tempfile::tempdir()?;
    let folder = root.path().join("a_b");
    fs::create_dir(&folder)?;
    fs::copy(file, folder.join(file.file_name().unwrap_or_default()))?;
    let config = FolderConfig::new(Vocabulary::of_pairs(["a"], ["b"])?, image_px);
    let mut image = vec![0.0; 3 * image_px * image_px];
    FolderDataset::open(&root, &config)?.load(0, &mut image)?;
    Ok(image.into_iter().map(|value| ((value + 1.0) * 127.5).round() as u8).collect())
}

/// The largest difference to PIL's result, in grey levels, and the share of values that differ at all.
fn difference(name: &str, extension: &str, image_px: usize) -> anyhow::Result<(u8, f64)> {
    let fixtures = Path::new(FIXTURES);
    let got = read(&fixtures.join(format!("{name}.{extension}")), image_px)?;
    let want = read(&fixtures.join(format!("{name}_to_{image_px}.png")), image_px)?;
    let differences: Vec<u8> = got.iter().zip(&want).map(|(a, b)| a.abs_diff(*b)).collect();
    let share = differences.iter().filter(|&&by| by > 0).count() as f64 / differences.len() as f64;
    Ok((differences.into_iter().max().unwrap_or(0), share))
}

#[test]
fn stretching_is_within_one_level() -> anyhow::Result<()> {
    for (name, sizes) in [("wide", &[7, 32, 60, 64][..]), ("tall", &[1, 32, 64]), ("square", &[33])] {
        for &px in sizes {
            let (most, share) = difference(name, "png", px)?;
            assert!(most <= 1 && share < 0.05, "{name} to {px}: off by {most}, {share:.4} of the values");
        }
    }
    Ok(())
}

#[test]
fn the_same_size_is_left_alone() -> anyhow::Result<()> {
    assert_eq!(difference("square", "png", 32)?, (0, 0.0));
    Ok(())
}

#[test]
fn every_kind_of_pixel_becomes_rgb() -> anyhow::Result<()> {
    for name in ["grey", "grey16", "palette"] {
        assert_eq!(difference(name, "png", 16)?, (0, 0.0), "{name}");
    }
    // PIL rounds blends with white differently.
    for name in ["rgba", "grey_alpha", "palette_clear"] {
        let (most, _) = difference(name, "png", 16)?;
        assert!(most <= 1, "{name} is off by {most}");
    }
    Ok(())
}

/// Decoders are free in how they round cosine transforms and interpolate colours; black for cyan, or an
/// ignored inversion, would be off by a hundred levels.
#[test]
fn jpeg_is_close() -> anyhow::Result<()> {
    for name in ["baseline", "progressive", "cmyk"] {
        let (most, _) = difference(name, "jpg", 40)?;
        assert!(most <= 4, "{name} is off by {most}");
    }
    Ok(())
}

#[test]
fn jpeg_cut_off_anywhere_is_an_error() -> anyhow::Result<()> {
    for name in ["baseline", "progressive", "cmyk"] {
        let whole = fs::read(Path::new(FIXTURES).join(format!("{name}.jpg")))?;
        let dir = tempfile::tempdir()?;
        let file = dir.path().join("cut.jpg");
        for len in (0..whole.len()).step_by(61).chain([whole.len() - 1]) {
            fs::write(&file, &whole[..len])?;
            assert!(read(&file, 8).is_err(), "{name} passes with {len} of {} bytes", whole.len());
        }
    }
    Ok(())
}
