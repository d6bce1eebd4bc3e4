//! Folders as people have them: files of other kinds, sub-folders, odd names, turned photographs.

#![cfg(test)]

use std::{fs, path::Path};

use anyhow::Result;
use cccm_data::{
    Dataset, Error, Fitting, FolderCheck, FolderConfig, FolderDataset, FolderReport, KnownLabels, OnBadImage,
    Orientation, Resize, Sameness, Subfolders, Subset, discover,
};
use image::{Rgb, RgbImage};

/// A picture of this size, white but for a black left half.
fn picture(width: u32, height: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, _| Rgb([if 2 * x < width { 0 } else { 255 }; 3]))
}

fn save(root: &Path, file: &str, picture: &RgbImage) -> Result<()> {
    let path = root.join(file);
    fs::create_dir_all(path.parent().unwrap_or(&path))?;
    // The content is PNG, whatever the name says: files are chosen by their names and decoded by their content.
    Ok(picture.save_with_format(path, image::ImageFormat::Png)?)
}

fn check(root: &Path, subfolders: Subfolders) -> Result<FolderReport> {
    Ok(FolderCheck::list(root, &KnownLabels::default(), subfolders)?.run(Sameness::Files, &|_| ()))
}

fn open(root: &Path, change: impl FnOnce(&mut FolderConfig)) -> cccm_data::Result<FolderDataset> {
    let mut config = FolderConfig::new(discover(root, &KnownLabels::default())?, 4);
    change(&mut config);
    FolderDataset::open(root, &config)
}

fn load(dataset: &FolderDataset, index: usize) -> Result<Vec<f32>> {
    let px = dataset.image_px();
    let mut image = vec![f32::NAN; 3 * px * px];
    dataset.load(index, &mut image)?;
    Ok(image)
}

#[test]
fn what_is_passed_over_is_counted_by_kind() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let root = dir.path();
    for file in ["a.png", "b.jfif", "c.JPE", "d.ppm", "e.PNM", "2023/f.png", "2023/may/g.png"] {
        save(root, &format!("red_cup/{file}"), &picture(4, 4))?;
    }
    for file in ["h.HEIC", "i.heic", "Thumbs.db", "README", ".hidden.heic", "2023/j.heic"] {
        fs::write(root.join("red_cup").join(file), "")?;
    }
    let report = check(root, Subfolders::PassedOver)?;
    assert_eq!(report.images, 5);
    assert_eq!(
        report.passed_over.to_string(),
        "1 without extension, 1 .db, 2 .heic, 2 images in sub-folders"
    );
    assert_eq!(open(root, |_| ())?.len(), 5);

    let report = check(root, Subfolders::Read)?;
    assert_eq!((report.images, report.passed_over.in_subfolders), (7, 0));
    assert_eq!(report.passed_over.by_extension["heic"], 3);
    let dataset = open(root, |config| config.subfolders = Subfolders::Read)?;
    assert_eq!(dataset.len(), 7);
    assert_ne!(dataset.digest()?, open(root, |_| ())?.digest()?);

    // Where there is nothing else, that is why.
    fs::remove_dir_all(root.join("red_cup"))?;
    fs::create_dir(root.join("red_cup"))?;
    fs::write(root.join("red_cup/a.heic"), "")?;
    let error = open(root, |_| ()).unwrap_err().to_string();
    assert!(error.ends_with("found 1 such folders, and passed over 1 .heic"), "{error}");
    Ok(())
}

#[test]
#[cfg(unix)]
fn links_in_a_circle_end() -> Result<()> {
    let dir = tempfile::tempdir()?;
    save(dir.path(), "red_cup/a.png", &picture(4, 4))?;
    std::os::unix::fs::symlink("..", dir.path().join("red_cup/again"))?;
    assert_eq!(open(dir.path(), |config| config.subfolders = Subfolders::Read)?.len(), 1);
    Ok(())
}

#[test]
fn one_spelling_of_a_label_is_one_label() -> Result<()> {
    let dir = tempfile::tempdir()?;
    save(dir.path(), "caf\u{e9}_cup/a.png", &picture(4, 4))?;
    save(dir.path(), "cafe\u{301}_hat/b.png", &picture(4, 4))?;
    save(dir.path(), "cafe\u{301}_cup/c.png", &picture(4, 4))?;
    let vocabulary = discover(dir.path(), &KnownLabels::default())?;
    assert_eq!(vocabulary.kinds()[0].names, ["caf\u{e9}"]);
    assert_eq!(vocabulary.parse_folder("cafe\u{301}_hat")?, [0, 1].into());
    let dataset = open(dir.path(), |_| ())?;
    assert_eq!(dataset.len(), 3);
    assert!(check(dir.path(), Subfolders::PassedOver)?.is_sound());
    Ok(())
}

#[test]
fn labels_that_nobody_tells_apart_are_refused() -> Result<()> {
    let dir = tempfile::tempdir()?;
    save(dir.path(), "Red_cup/a.png", &picture(4, 4))?;
    save(dir.path(), "red_hat/b.png", &picture(4, 4))?;
    let error = discover(dir.path(), &KnownLabels::default()).unwrap_err();
    assert!(
        matches!(&error, Error::LookAlikes { first, second, .. } if first == "Red" && second == "red"),
        "{error}"
    );
    let report = check(dir.path(), Subfolders::PassedOver)?;
    assert!(!report.is_sound() && report.look_alikes.is_some_and(|told| told.contains("`Red` and `red`")));
    // Whoever names them means them.
    let vocabulary = cccm_data::Vocabulary::of_pairs(["Red", "red"], ["cup", "hat"])?;
    assert_eq!(FolderDataset::open(dir.path(), &FolderConfig::new(vocabulary, 4))?.len(), 2);
    Ok(())
}

#[test]
#[cfg(target_os = "linux")]
fn a_name_that_is_no_text_is_refused() -> Result<()> {
    use std::os::unix::ffi::OsStrExt as _;
    let dir = tempfile::tempdir()?;
    save(dir.path(), "red_cup/a.png", &picture(4, 4))?;
    let odd = dir.path().join(std::ffi::OsStr::from_bytes(b"r\xe9d_cup"));
    fs::create_dir(&odd)?;
    picture(4, 4).save(odd.join("a.png"))?;
    assert!(matches!(discover(dir.path(), &KnownLabels::default()), Err(Error::NotUtf8 { .. })));
    let report = check(dir.path(), Subfolders::PassedOver)?;
    assert_eq!((report.images, report.unknown_folders.len()), (1, 1));
    assert!(report.unknown_folders[0].problem.contains("not UTF-8"), "{:?}", report.unknown_folders);
    Ok(())
}

#[test]
#[cfg(unix)]
fn a_pipe_is_no_image_and_nobody_waits_for_it() -> Result<()> {
    let dir = tempfile::tempdir()?;
    save(dir.path(), "red_cup/a.png", &picture(4, 4))?;
    let pipe = dir.path().join("red_cup/pipe.png");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status()?.success());
    let report = check(dir.path(), Subfolders::PassedOver)?;
    assert_eq!(report.unreadable.len(), 1);
    assert!(report.unreadable[0].problem.ends_with("it is no regular file"), "{:?}", report.unreadable);
    assert!(matches!(open(dir.path(), |_| ()), Err(Error::UnreadableImages { count: 1, .. })));
    assert_eq!(open(dir.path(), |config| config.on_bad_image = OnBadImage::Skip)?.len(), 1);
    Ok(())
}

/// A JPEG file whose EXIF orientation says: turn it by a quarter, clockwise.
fn turned(picture: &RgbImage) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    image::codecs::jpeg::JpegEncoder::new_with_quality(&mut bytes, 100).encode_image(picture)?;
    // One entry: tag 0x0112, a short, one of it, 6.
    let tiff = [&b"MM\0*\0\0\0\x08\0\x01"[..], &[0x01, 0x12, 0, 3, 0, 0, 0, 1, 0, 6, 0, 0], &[0; 4]].concat();
    let length = (2 + 6 + tiff.len()) as u16;
    let exif = [&[0xff, 0xe1][..], &length.to_be_bytes(), b"Exif\0\0", &tiff].concat();
    Ok([&bytes[..2], &exif, &bytes[2..]].concat())
}

#[test]
fn turned_photographs_are_counted_and_turned_where_that_is_wanted() -> Result<()> {
    let dir = tempfile::tempdir()?;
    fs::create_dir(dir.path().join("red_cup"))?;
    fs::write(dir.path().join("red_cup/a.jpg"), turned(&picture(16, 16))?)?;
    assert_eq!(check(dir.path(), Subfolders::PassedOver)?.turned, 1);
    let dark = |value: &f32| *value < 0.0;
    let stored = load(&open(dir.path(), |_| ())?, 0)?;
    assert!(stored[..16].chunks(4).all(|row| dark(&row[0]) && !dark(&row[3])), "{stored:?}");
    // The left half lies on top then.
    let upright = open(dir.path(), |config| config.fitting.orientation = Orientation::Upright)?;
    let shown = load(&upright, 0)?;
    assert!(shown[..8].iter().all(dark) && !shown[8..16].iter().any(dark), "{shown:?}");
    assert_ne!(upright.digest()?, open(dir.path(), |_| ())?.digest()?);
    Ok(())
}

#[test]
fn every_way_to_make_an_image_square_is_another_image() -> Result<()> {
    let dir = tempfile::tempdir()?;
    save(dir.path(), "red_cup/a.png", &picture(16, 4))?;
    let with = |resize| open(dir.path(), |config| config.fitting = Fitting { resize, ..Fitting::default() });
    let (mut images, mut digests) = (Vec::new(), Vec::new());
    for resize in [Resize::Stretch, Resize::Crop, Resize::Pad] {
        let dataset = with(resize)?;
        images.push(load(&dataset, 0)?);
        digests.push(dataset.digest()?);
    }
    let drawn = with(Resize::RandomCrop)?;
    assert_eq!(load(&drawn, 0)?, images[1]);
    digests.push(drawn.digest()?);
    digests.sort();
    digests.dedup();
    assert_eq!(digests.len(), 4);
    images.dedup();
    assert_eq!(images.len(), 3);
    let mut window = vec![0.0; 48];
    drawn.load_window(0, 1.0, &mut window)?;
    assert_eq!(window, [1.0; 48]);
    Ok(())
}

#[test]
fn one_image_for_each_pair_leaves_none_to_test_with() -> Result<()> {
    let dir = tempfile::tempdir()?;
    for pair in ["red_cup", "red_hat"] {
        save(dir.path(), &format!("{pair}/a.png"), &picture(4, 4))?;
    }
    let dataset = std::sync::Arc::new(open(dir.path(), |_| ())?);
    let error = Subset::split(dataset, 10).map(|_| ()).unwrap_err();
    assert!(matches!(error, Error::NoneKeptApart { noun: "pair" }), "{error}");
    Ok(())
}

#[test]
fn images_that_cannot_be_decoded_are_left_out_of_a_subset() -> Result<()> {
    let dir = tempfile::tempdir()?;
    for name in ["a.png", "b.png", "c.png"] {
        save(dir.path(), &format!("red_cup/{name}"), &picture(40, 40))?;
    }
    let cut = dir.path().join("red_cup/b.png");
    let whole = fs::read(&cut)?;
    fs::write(&cut, &whole[..whole.len() - 30])?;
    let dataset = std::sync::Arc::new(open(dir.path(), |_| ())?);
    let (readable, bad) = Subset::readable(dataset)?;
    assert_eq!((readable.len(), bad), (2, 1));
    assert!(readable.describe(1).ends_with("c.png"));
    Ok(())
}
