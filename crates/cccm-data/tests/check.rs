//! Looking over a folder, and folders made from other datasets.

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::Result;
use cccm_data::{
    ColoredMnist, CombinationFilter, Dataset, Digits, Error, FolderCheck, FolderConfig, FolderDataset,
    FolderReport, KnownLabels, Preset, Sameness, Shapes, ShapesConfig, Spread, Subfolders, discover, export,
};
use image::{Rgb, RgbImage};
use tempfile::TempDir;

fn save(root: &Path, file: &str, width: u32, level: u8) -> Result<()> {
    let path = root.join(file);
    fs::create_dir_all(path.parent().unwrap_or(&path))?;
    Ok(RgbImage::from_pixel(width, 10, Rgb([level; 3])).save(path)?)
}

/// Six good images; a broken one, a folder that is misspelt, an image outside, an image twice.
fn photos() -> Result<TempDir> {
    let dir = tempfile::tempdir()?;
    let root = dir.path();
    save(root, "BlondHair_Male/1.png", 20, 1)?;
    save(root, "BlondHair_Male/2.png", 30, 2)?;
    save(root, "BlondHair_Male/3.bmp", 20, 1)?;
    save(root, "BlondHair_Female/4.png", 40, 3)?;
    save(root, "BlondHair_Female/5.png", 40, 4)?;
    save(root, "GrayHair_Female/6.png", 50, 5)?;
    fs::copy(root.join("BlondHair_Male/1.png"), root.join("GrayHair_Female/7.png"))?;
    save(root, "GrayHiar_Male/8.png", 20, 7)?;
    save(root, "9.png", 20, 7)?;
    let broken = root.join("GrayHair_Female/broken.png");
    let bytes = fs::read(root.join("GrayHair_Female/6.png"))?;
    // Its header is whole.
    fs::write(broken, &bytes[..bytes.len() - 20])?;
    Ok(dir)
}

fn report(root: &Path, sameness: Sameness) -> Result<FolderReport> {
    Ok(FolderCheck::list(root, &KnownLabels::default(), Subfolders::default())?.run(sameness, &|_| ()))
}

#[test]
fn everything_wrong_with_a_folder_is_reported() -> Result<()> {
    let dir = photos()?;
    let report = report(dir.path(), Sameness::Files)?;
    assert_eq!((report.preset, report.images), (Some(Preset::Celeba), 7));
    let counts: BTreeMap<_, _> = report.counts.iter().filter(|(_, count)| **count > 0).collect();
    let want = [("BlondHair_Female", 2), ("BlondHair_Male", 3), ("GrayHair_Female", 2)];
    assert_eq!(
        counts,
        want.iter()
            .map(|(name, count)| ((*name).to_owned(), *count))
            .collect::<BTreeMap<_, _>>()
            .iter()
            .collect()
    );
    assert_eq!(report.counts.len(), 8);
    assert_eq!(report.empty_combinations().count(), 5);
    assert_eq!(report.width, Some(Spread { min: 20, median: 30, max: 50 }));
    assert_eq!(report.height, Some(Spread { min: 10, median: 10, max: 10 }));

    assert_eq!(report.unreadable.len(), 1);
    let broken = &report.unreadable[0];
    assert!(broken.path.ends_with("broken.png") && broken.problem.contains("cannot decode"), "{broken:?}");
    let [unknown] = &report.unknown_folders[..] else { anyhow::bail!("{:?}", report.unknown_folders) };
    assert!(unknown.path.ends_with("GrayHiar_Male"));
    assert_eq!(unknown.nearest.as_deref(), Some("GrayHair_Male"));
    assert_eq!(report.stray_images, 1);
    let [same] = &report.duplicates[..] else { anyhow::bail!("{:?}", report.duplicates) };
    assert!(same.len() == 2 && same[0].ends_with("1.png") && same[1].ends_with("7.png"), "{same:?}");
    assert!(!report.is_sound());
    Ok(())
}

#[test]
fn pixels_may_be_the_same_where_files_are_not() -> Result<()> {
    let dir = photos()?;
    let report = report(dir.path(), Sameness::Pixels)?;
    let [same] = &report.duplicates[..] else { anyhow::bail!("{:?}", report.duplicates) };
    assert!(same.len() == 3 && same[1].ends_with("3.bmp"), "{same:?}");
    Ok(())
}

#[test]
fn a_sound_folder_is_sound() -> Result<()> {
    let dir = tempfile::tempdir()?;
    for (file, level) in [
        ("dark_car/1.png", 1),
        ("dark_bus/1.png", 2),
        ("light_car/1.png", 3),
        ("light_bus/1.png", 4),
        ("light_bus/2.png", 5),
    ] {
        save(dir.path(), file, 8, level)?;
    }
    let report = report(dir.path(), Sameness::Files)?;
    assert!(report.is_sound() && report.duplicates.is_empty() && report.preset.is_none());
    assert_eq!(report.vocabulary, discover(dir.path(), &KnownLabels::default())?);
    // Three combinations have one image; the first of them is as good as any.
    assert_eq!(
        report
            .combination_to_hold_out()
            .map(|combination| report.vocabulary.folder_name(&combination))
            .as_deref(),
        Some("dark_bus")
    );
    let json = serde_json::to_value(&report)?;
    assert_eq!(json["counts"]["light_bus"], 2);

    // One file or one folder is enough.
    fs::write(dir.path().join("dark_car/2.png"), "no image")?;
    assert!(!self::report(dir.path(), Sameness::Files)?.is_sound());
    fs::remove_file(dir.path().join("dark_car/2.png"))?;
    fs::create_dir(dir.path().join("trucks"))?;
    assert!(!self::report(dir.path(), Sameness::Files)?.is_sound());
    Ok(())
}

#[test]
fn folders_without_a_name_that_can_be_read_are_refused() -> Result<()> {
    let dir = tempfile::tempdir()?;
    assert!(matches!(
        FolderCheck::list(dir.path(), &KnownLabels::default(), Subfolders::default()),
        Err(Error::NoImages { .. })
    ));
    fs::create_dir(dir.path().join("photos"))?;
    assert!(matches!(
        FolderCheck::list(dir.path(), &KnownLabels::default(), Subfolders::default()),
        Err(Error::NoVocabulary { .. })
    ));
    let report =
        FolderCheck::list(dir.path(), &KnownLabels::All(Preset::Celeba.vocabulary()), Subfolders::default())?
            .run(Sameness::Files, &|_| ());
    assert!(!report.is_sound() && report.unknown_folders.len() == 1);
    Ok(())
}

/// The images of both, matched by combination and order: the largest difference.
fn difference(dataset: &dyn Dataset, root: &Path) -> Result<f32> {
    let config = FolderConfig::new(dataset.vocabulary().clone(), dataset.image_px());
    let folders = FolderDataset::open(root, &config)?;
    assert_eq!(folders.len(), dataset.len());
    let order = |dataset: &dyn Dataset| {
        let mut order: Vec<usize> = (0..dataset.len()).collect();
        order.sort_by_key(|index| dataset.combination(*index));
        order
    };
    let load = |dataset: &dyn Dataset, index| -> Result<Vec<f32>> {
        let mut image = vec![f32::NAN; 3 * dataset.image_px() * dataset.image_px()];
        dataset.load(index, &mut image)?;
        Ok(image)
    };
    let mut worst = 0.0_f32;
    for (there, here) in order(&folders).into_iter().zip(order(dataset)) {
        assert_eq!(folders.combination(there), dataset.combination(here));
        for (a, b) in load(&folders, there)?.into_iter().zip(load(dataset, here)?) {
            worst = worst.max((a - b).abs());
        }
    }
    Ok(worst)
}

/// Digits 0 to 9 twice, each with pixels of its own.
fn digits() -> Result<Digits> {
    let pixels: Vec<u8> = (0..20 * 28 * 28_usize).map(|at| (at * 7 % 256) as u8).collect();
    let images = [&[0, 0, 8, 3, 0, 0, 0, 20, 0, 0, 0, 28, 0, 0, 0, 28][..], &pixels].concat();
    let labels = [&[0, 0, 8, 1, 0, 0, 0, 20][..], &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9].repeat(2)].concat();
    Ok(Digits::from_idx(&images, &labels)?)
}

#[test]
fn exported_digits_are_read_back_to_the_same_pixels() -> Result<()> {
    let dir = tempfile::tempdir()?;
    for px in [32, 16] {
        let dataset = ColoredMnist::new(digits()?, px, &CombinationFilter::Except(ColoredMnist::held_out()))?;
        let out = dir.path().join(px.to_string());
        export(&dataset, &out, &|_| ())?;
        assert_eq!(difference(&dataset, &out)?, 0.0);
        assert!(out.join("bw_1/0.png").is_file() && !out.join("bw_0").exists());
    }
    Ok(())
}

#[test]
fn exported_shapes_are_read_back_to_half_a_level() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let config = ShapesConfig {
        image_px: 16,
        images_per_combination: 11,
        seed: 3,
        sized: false,
        combinations: CombinationFilter::all(),
    };
    let dataset = Shapes::new(&config)?;
    let out = dir.path().join("shapes");
    export(&dataset, &out, &|_| ())?;
    let worst = difference(&dataset, &out)?;
    assert!(worst > 0.0 && worst <= 0.5 / 127.5 + 1e-6, "{worst}");
    assert!(out.join("red_Circle/00.png").is_file() && out.join("red_Circle/10.png").is_file());
    assert!(matches!(export(&dataset, &out, &|_| ()), Err(Error::FolderTaken { .. })));
    Ok(())
}
