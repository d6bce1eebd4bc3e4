//! Folders of images: what is found, what is left out, what is refused.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Result;
use cccm_data::{
    Combination, CombinationFilter, Dataset, Error, FolderConfig, FolderDataset, KnownLabels, OnBadImage,
    Preset, Vocabulary, combination_counts, discover,
};
use image::{ImageFormat, Rgb, RgbImage};
use tempfile::TempDir;

/// A root with these files, each a 6 × 4 picture in the format of its extension.
fn tree(files: &[&str]) -> Result<TempDir> {
    let root = tempfile::tempdir()?;
    for file in files {
        let path = root.path().join(file);
        fs::create_dir_all(path.parent().unwrap_or(&path))?;
        picture().save_with_format(&path, ImageFormat::from_path(&path)?)?;
    }
    Ok(root)
}

fn picture() -> RgbImage {
    RgbImage::from_fn(6, 4, |x, y| Rgb([40 * x as u8, 60 * y as u8, 128]))
}

fn config() -> FolderConfig {
    FolderConfig::new(Preset::Celeba.vocabulary(), 8)
}

fn refusal(root: impl AsRef<Path>, config: &FolderConfig) -> Result<Error> {
    match FolderDataset::open(root, config) {
        Ok(dataset) => anyhow::bail!("{} images were accepted", dataset.len()),
        Err(error) => Ok(error),
    }
}

fn load(dataset: &FolderDataset, index: usize) -> cccm_data::Result<Vec<f32>> {
    let mut image = vec![f32::NAN; 3 * dataset.image_px() * dataset.image_px()];
    dataset.load(index, &mut image).map(|()| image)
}

#[test]
fn images_are_found_by_extension_in_sorted_order() -> Result<()> {
    let root = tree(&[
        "BlondHair_Male/b.png",
        "BlondHair_Male/a.JPG",
        "GrayHair Female/c.tIfF",
        "GrayHair Female/d.gif",
    ])?;
    let folder = root.path().join("BlondHair_Male");
    fs::write(folder.join("notes.txt"), "no image")?;
    fs::write(folder.join(".hidden.png"), "no image")?;
    fs::create_dir(folder.join("folder.png"))?;
    fs::create_dir(root.path().join(".cache"))?;
    fs::write(root.path().join("README.md"), "no folder")?;

    let dataset = FolderDataset::open(&root, &config())?;
    let paths: Vec<_> =
        (0..dataset.len()).map(|i| dataset.path(i).strip_prefix(&root).map(PathBuf::from)).collect();
    let paths = paths.into_iter().collect::<Result<Vec<_>, _>>()?;
    let want =
        ["BlondHair_Male/a.JPG", "BlondHair_Male/b.png", "GrayHair Female/c.tIfF", "GrayHair Female/d.gif"];
    assert_eq!(paths, want.map(PathBuf::from));
    let (blond_male, gray_female) = (Combination::from([1, 0]), Combination::from([2, 1]));
    assert_eq!(combination_counts(&dataset), [(blond_male, 2), (gray_female, 2)].into());
    assert!(dataset.describe(1).ends_with("b.png"));
    Ok(())
}

#[test]
fn every_format_is_decoded_by_content() -> Result<()> {
    let root = tempfile::tempdir()?;
    let folder = root.path().join("GrayHair_Male");
    fs::create_dir(&folder)?;
    let formats =
        [ImageFormat::Png, ImageFormat::WebP, ImageFormat::Bmp, ImageFormat::Gif, ImageFormat::Tiff];
    for (number, format) in formats.into_iter().enumerate() {
        picture().save_with_format(folder.join(format!("{number}.jpg")), format)?;
    }
    let dataset = FolderDataset::open(&root, &config())?;
    assert_eq!(dataset.len(), formats.len());
    for (index, format) in formats.iter().enumerate() {
        assert_eq!(load(&dataset, index)?, load(&dataset, 0)?, "{format:?}");
    }
    Ok(())
}

#[test]
fn images_lie_in_planes_between_minus_one_and_one() -> Result<()> {
    let root = tempfile::tempdir()?;
    let folder = root.path().join("GrayHair_Male");
    fs::create_dir(&folder)?;
    RgbImage::from_fn(2, 2, |x, y| Rgb([255 * x as u8, 255 * y as u8, 51])).save(folder.join("a.png"))?;
    let dataset = FolderDataset::open(&root, &FolderConfig { image_px: 2, ..config() })?;
    let image = load(&dataset, 0)?;
    assert_eq!(image[..8], [-1.0, 1.0, -1.0, 1.0, -1.0, -1.0, 1.0, 1.0]);
    assert!(image[8..].iter().all(|value| (value + 0.6).abs() < 1e-6));
    Ok(())
}

#[cfg(unix)]
#[test]
fn links_are_followed() -> Result<()> {
    let store = tree(&["store/a.png"])?;
    let root = tempfile::tempdir()?;
    std::os::unix::fs::symlink(store.path().join("store"), root.path().join("GrayHair_Male"))?;
    let dataset = FolderDataset::open(&root, &config())?;
    assert_eq!(dataset.len(), 1);

    let nowhere = root.path().join("BlackHair_Male");
    std::os::unix::fs::symlink(store.path().join("nowhere"), &nowhere)?;
    assert!(matches!(refusal(&root, &config())?, Error::Io { path, .. } if path == nowhere));
    Ok(())
}

#[test]
fn vocabulary_is_discovered_from_plain_names() -> Result<()> {
    let root = tree(&["red_car/a.png", "blue car/a.png", "blue_bus/a.png"])?;
    let vocabulary = discover(&root, &KnownLabels::default())?;
    assert_eq!(vocabulary, Vocabulary::of_pairs(["blue", "red"], ["bus", "car"])?);

    for name in ["dark_red_car", "car", "_car"] {
        fs::create_dir(root.path().join(name))?;
        let error = discover(&root, &KnownLabels::default()).err();
        assert!(
            matches!(&error, Some(Error::NoVocabulary { path, .. }) if path.ends_with(name)),
            "{error:?}"
        );
        fs::remove_dir(root.path().join(name))?;
    }
    Ok(())
}

#[test]
fn roots_without_images_are_refused() -> Result<()> {
    let root = tree(&["GrayHair_Male/a.png"])?;
    let missing = root.path().join("missing");
    assert!(matches!(refusal(&missing, &config())?, Error::Io { path, .. } if path == missing));
    assert!(matches!(discover(&missing, &KnownLabels::default()), Err(Error::Io { .. })));

    fs::remove_file(root.path().join("GrayHair_Male/a.png"))?;
    let error = refusal(&root, &config())?.to_string();
    assert!(
        error.contains(
            "*.{jpg,jpeg,jpe,jfif,png,webp,bmp,gif,tif,tiff,pnm,ppm,pgm,pbm}, found 1 such folders"
        ),
        "{error}"
    );
    fs::remove_dir(root.path().join("GrayHair_Male"))?;
    assert!(matches!(refusal(&root, &config())?, Error::NoImages { folders: 0, .. }));
    assert!(matches!(discover(&root, &KnownLabels::default()), Err(Error::NoImages { .. })));
    Ok(())
}

#[test]
fn folders_outside_the_vocabulary_are_refused() -> Result<()> {
    let root = tree(&["GrayHair_Male/a.png", "BlondHiar_Male/a.png"])?;
    let Error::Folder { path, source } = refusal(&root, &config())? else { anyhow::bail!("another error") };
    assert!(path.ends_with("BlondHiar_Male"));
    assert!(
        matches!(*source, cccm_labels::Error::UnknownCombination { nearest: Some(name), .. } if name == "BlondHair_Male")
    );

    let root = tree(&["a_b_c/a.png"])?;
    let vocabulary = Vocabulary::of_pairs(["a", "a_b"], ["b_c", "c"])?;
    let Error::Folder { source, .. } = refusal(&root, &FolderConfig { vocabulary, ..config() })? else {
        anyhow::bail!("another error")
    };
    assert!(matches!(*source, cccm_labels::Error::AmbiguousCombination { .. }));
    Ok(())
}

#[test]
fn held_out_folders_are_left_out() -> Result<()> {
    let root = tree(&["GrayHair_Male/a.png", "BlondHair_Male/a.png", "BlondHair_Male/b.png"])?;
    let celeba = Preset::Celeba.vocabulary();
    let blond_male = celeba.parse_folders(["BlondHair Male"])?;
    let open = |combinations| FolderDataset::open(&root, &FolderConfig { combinations, ..config() });
    assert_eq!(open(CombinationFilter::Except(blond_male.clone()))?.len(), 1);
    assert_eq!(open(CombinationFilter::Only(blond_male))?.len(), 2);

    let both = celeba.parse_folders(["BlondHair_Male", "GrayHair_Male"])?;
    let error = open(CombinationFilter::Except(both)).err();
    assert!(matches!(error, Some(Error::AllHeldOut { combinations: 2 })), "{error:?}");
    Ok(())
}

#[test]
fn holding_out_a_folder_that_is_not_there_is_refused() -> Result<()> {
    let root = tree(&["GrayHair_Male/a.png", "BlondHair_Female/a.png"])?;
    let combinations =
        CombinationFilter::Except(Preset::Celeba.vocabulary().parse_folders(["BlondHair_Male"])?);
    let error = refusal(&root, &FolderConfig { combinations, ..config() })?;
    assert!(matches!(error, Error::UnknownFilteredCombination { .. }));
    let text = error.to_string();
    assert!(
        text.contains("the pair `BlondHair_Male`") && text.contains("did you mean `BlondHair_Female`"),
        "{text}"
    );
    Ok(())
}

#[test]
fn unreadable_headers_are_found_before_any_work() -> Result<()> {
    let root = tree(&["GrayHair_Male/a.png", "GrayHair_Male/b.png", "BlackHair_Male/c.png"])?;
    fs::write(root.path().join("GrayHair_Male/b.png"), "no image at all")?;
    fs::write(root.path().join("GrayHair_Male/d.png"), "")?;
    let Error::UnreadableImages { count, total, first, .. } = refusal(&root, &config())? else {
        anyhow::bail!("another error")
    };
    assert_eq!((count, total, first), (2, 4, root.path().join("GrayHair_Male/b.png")));

    let dataset = FolderDataset::open(&root, &FolderConfig { on_bad_image: OnBadImage::Skip, ..config() })?;
    assert_eq!((dataset.len(), dataset.skipped()), (2, 2));
    Ok(())
}

/// A PNG of a few bytes that says it is 60,000 pixels wide and high: 10 GB of pixels.
#[test]
fn header_that_claims_a_huge_image_is_refused() -> Result<()> {
    let root = tree(&["GrayHair_Male/a.png"])?;
    let file = root.path().join("GrayHair_Male/a.png");
    let mut bytes = fs::read(&file)?;
    bytes[16..24].copy_from_slice(&[0, 0, 0xea, 0x60, 0, 0, 0xea, 0x60]);
    let crc = {
        let mut crc = flate2::Crc::new();
        crc.update(&bytes[12..29]);
        crc.sum()
    };
    bytes[29..33].copy_from_slice(&crc.to_be_bytes());
    fs::write(&file, bytes)?;
    let error = refusal(&root, &config())?;
    let Error::UnreadableImages { source, .. } = &error else { anyhow::bail!("{error:?}") };
    assert!(matches!(&**source, Error::Image { source: image::ImageError::Limits(_), .. }), "{source:?}");
    Ok(())
}

#[test]
fn image_cut_off_after_its_header_is_named_when_loaded() -> Result<()> {
    for format in ["png", "jpg", "webp", "bmp", "gif", "tif"] {
        let root = tree(&[&format!("GrayHair_Male/a.{format}")])?;
        let file = root.path().join(format!("GrayHair_Male/a.{format}"));
        let bytes = fs::read(&file)?;
        let dataset = FolderDataset::open(&root, &config())?;
        fs::write(&file, &bytes[..bytes.len() * 3 / 4])?;
        let error = load(&dataset, 0).err().map(|error| error.to_string());
        assert!(
            error.as_ref().is_some_and(|error| error.contains(&file.display().to_string())),
            "{format}: {error:?}"
        );
    }
    Ok(())
}

#[test]
fn buffers_and_sizes_that_do_not_fit_are_refused() -> Result<()> {
    let root = tree(&["GrayHair_Male/a.png"])?;
    let error = refusal(&root, &FolderConfig { image_px: 0, ..config() })?;
    assert!(matches!(error, Error::InvalidConfig { field: "image_px", .. }));
    let dataset = FolderDataset::open(&root, &config())?;
    let error = dataset.load(0, &mut [0.0; 5]).err();
    assert!(matches!(error, Some(Error::BufferLength { image_px: 8, got: 5 })));
    Ok(())
}
