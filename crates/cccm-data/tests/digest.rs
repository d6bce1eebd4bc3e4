//! Digests: the same for the same images, wherever they lie; another as soon as a run would see others.

use std::{fs, path::Path};

use anyhow::Result;
use cccm_data::{
    ColoredMnist, Combination, CombinationFilter, Dataset, Digits, FolderConfig, FolderDataset, OnBadImage,
    Preset, Shapes, ShapesConfig, Vocabulary,
};
use image::{Rgb, RgbImage};

fn save(root: &Path, file: &str, level: u8) -> Result<()> {
    let path = root.join(file);
    fs::create_dir_all(path.parent().unwrap_or(&path))?;
    Ok(RgbImage::from_fn(6, 4, |x, y| Rgb([level, 9 * x as u8, 7 * y as u8])).save(path)?)
}

/// Two combinations, three images.
fn draw(root: &Path) -> Result<()> {
    save(root, "GrayHair_Male/a.png", 1)?;
    save(root, "GrayHair_Male/b.png", 2)?;
    save(root, "BlondHair_Female/c.png", 3)
}

fn config() -> FolderConfig {
    FolderConfig { on_bad_image: OnBadImage::Skip, ..FolderConfig::new(Preset::Celeba.vocabulary(), 8) }
}

fn digest(root: &Path, config: &FolderConfig) -> Result<String> {
    Ok(FolderDataset::open(root, config)?.digest()?)
}

#[test]
fn a_folder_may_move() -> Result<()> {
    let (here, there) = (tempfile::tempdir()?, tempfile::tempdir()?);
    draw(here.path())?;
    let before = digest(here.path(), &config())?;
    assert_eq!(before.len(), 64);
    fs::rename(here.path().join("GrayHair_Male"), there.path().join("GrayHair_Male"))?;
    fs::rename(here.path().join("BlondHair_Female"), there.path().join("BlondHair_Female"))?;
    assert_eq!(digest(there.path(), &config())?, before);
    let trailing = there.path().join("");
    assert_eq!(digest(&trailing, &config())?, before);
    Ok(())
}

type Change = fn(&Path) -> Result<()>;

#[test]
fn whatever_changes_the_images_of_a_folder_changes_its_digest() -> Result<()> {
    let changes: [(&str, Change); 5] = [
        ("added", |root| save(root, "GrayHair_Male/d.png", 4)),
        ("removed", |root| Ok(fs::remove_file(root.join("GrayHair_Male/b.png"))?)),
        ("renamed", |root| {
            Ok(fs::rename(root.join("GrayHair_Male/b.png"), root.join("GrayHair_Male/z.png"))?)
        }),
        ("of another pair", |root| Ok(fs::rename(root.join("GrayHair_Male"), root.join("GrayHair_Female"))?)),
        ("cut off", |root| {
            let file = root.join("GrayHair_Male/b.png");
            let bytes = fs::read(&file)?;
            Ok(fs::write(&file, &bytes[..bytes.len() - 1])?)
        }),
    ];
    for (name, change) in changes {
        let root = tempfile::tempdir()?;
        draw(root.path())?;
        let before = digest(root.path(), &config())?;
        assert_eq!(digest(root.path(), &config())?, before);
        change(root.path())?;
        assert_ne!(digest(root.path(), &config())?, before, "an image is {name}");
    }
    Ok(())
}

#[test]
fn settings_that_change_what_is_seen_change_the_digest() -> Result<()> {
    let root = tempfile::tempdir()?;
    draw(root.path())?;
    let before = digest(root.path(), &config())?;
    assert_ne!(digest(root.path(), &FolderConfig { image_px: 16, ..config() })?, before);
    let combinations = CombinationFilter::Except(config().vocabulary.parse_folders(["BlondHair_Female"])?);
    assert_ne!(digest(root.path(), &FolderConfig { combinations, ..config() })?, before);
    let vocabulary = Vocabulary::of_pairs(["BlondHair", "GrayHair"], ["Male", "Female"])?;
    assert_ne!(digest(root.path(), &FolderConfig { vocabulary, ..config() })?, before);
    // A filter that holds out what is not there does not matter, nor what to do about bad images.
    assert_eq!(digest(root.path(), &FolderConfig { on_bad_image: OnBadImage::Stop, ..config() })?, before);
    Ok(())
}

/// Digits of these classes, all of one grey level.
fn digits(classes: &[u8], level: u8) -> Result<Digits> {
    let count = classes.len() as u8;
    let header = [0, 0, 8, 3, 0, 0, 0, count, 0, 0, 0, 28, 0, 0, 0, 28];
    let images = [&header[..], &vec![level; 28 * 28 * classes.len()]].concat();
    Ok(Digits::from_idx(&images, &[&[0, 0, 8, 1, 0, 0, 0, count][..], classes].concat())?)
}

#[test]
fn digits_count_with_their_pixels_classes_and_colors() -> Result<()> {
    fn digest(classes: &[u8], level: u8, px: usize, combinations: &CombinationFilter) -> Result<String> {
        Ok(ColoredMnist::new(digits(classes, level)?, px, combinations)?.digest()?)
    }
    let all = CombinationFilter::all();
    let before = digest(&[3, 7], 200, 32, &all)?;
    assert_eq!(digest(&[3, 7], 200, 32, &all)?, before);
    assert_ne!(digest(&[3, 7], 201, 32, &all)?, before);
    assert_ne!(digest(&[7, 3], 200, 32, &all)?, before);
    assert_ne!(digest(&[3], 200, 32, &all)?, before);
    assert_ne!(digest(&[3, 7], 200, 64, &all)?, before);
    assert_ne!(digest(&[3, 7], 200, 32, &CombinationFilter::Except(ColoredMnist::held_out()))?, before);
    Ok(())
}

#[test]
fn shapes_count_with_their_configuration() -> Result<()> {
    let config = ShapesConfig {
        image_px: 8,
        images_per_combination: 2,
        sized: false,
        seed: 0,
        combinations: CombinationFilter::all(),
    };
    let digest = |config: &ShapesConfig| Shapes::new(config).and_then(|shapes| shapes.digest());
    let red_circle = CombinationFilter::Except([Combination::from([0, 0])].into());
    let before = digest(&config)?;
    assert_eq!(digest(&config.clone())?, before);
    for other in [
        ShapesConfig { image_px: 9, ..config.clone() },
        ShapesConfig { images_per_combination: 3, ..config.clone() },
        ShapesConfig { seed: 1, ..config.clone() },
        ShapesConfig { combinations: red_circle, ..config.clone() },
    ] {
        assert_ne!(digest(&other)?, before, "{other:?}");
    }
    Ok(())
}

/// Images of 1 pixel that are known by a name.
struct Named(Vocabulary, Vec<&'static str>);

impl Dataset for Named {
    fn vocabulary(&self) -> &Vocabulary {
        &self.0
    }
    fn image_px(&self) -> usize {
        1
    }
    fn len(&self) -> usize {
        self.1.len()
    }
    fn combination(&self, index: usize) -> Combination {
        Combination::from([u32::from(self.1[index] == "b"), 0])
    }
    fn load(&self, _: usize, _: &mut [f32]) -> cccm_data::Result<()> {
        Ok(())
    }
    fn describe(&self, index: usize) -> String {
        self.1[index].to_owned()
    }
}

#[test]
fn other_sources_are_known_by_what_they_describe() -> Result<()> {
    fn digest(names: &[&'static str]) -> Result<String> {
        Ok(Named(Vocabulary::of_pairs(["p", "q"], ["r"])?, names.to_vec()).digest()?)
    }
    let before = digest(&["a", "b"])?;
    assert_eq!(digest(&["a", "b"])?, before);
    for names in [&["b", "a"][..], &["a"], &["a", "b", "b"], &["ab", "b"]] {
        assert_ne!(digest(names)?, before);
    }
    Ok(())
}
