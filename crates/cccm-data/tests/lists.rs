//! Images that a list labels: metadata beside them, tar shards. They are the same data set as folders are.

#![cfg(test)]

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use cccm_data::{
    CombinationFilter, Dataset, Error, FolderCheck, FolderConfig, FolderDataset, KnownLabels, Loader,
    LoaderConfig, OnBadImage, Sameness, Subfolders, discover,
};
use image::{Rgb, RgbImage};
use tempfile::TempDir;

const PAIRS: [(&str, &str); 4] = [("blue", "cup"), ("blue", "hat"), ("red", "cup"), ("red", "hat")];
const EACH: usize = 3;

fn png(number: usize) -> Result<Vec<u8>> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    let picture = RgbImage::from_fn(6, 4, |x, y| Rgb([20 * number as u8, 40 * x as u8, 60 * y as u8]));
    picture.write_to(&mut bytes, image::ImageFormat::Png)?;
    Ok(bytes.into_inner())
}

/// The labels, the name and the content of an image.
type Named = ((&'static str, &'static str), String, Vec<u8>);

fn images() -> Result<Vec<Named>> {
    let mut images = Vec::new();
    for pair in PAIRS {
        for number in 0..EACH {
            images.push((pair, format!("{number}.png"), png(images.len())?));
        }
    }
    Ok(images)
}

fn folders() -> Result<TempDir> {
    let dir = tempfile::tempdir()?;
    for ((attribute, object), name, content) in images()? {
        let folder = dir.path().join(format!("{attribute}_{object}"));
        fs::create_dir_all(&folder)?;
        fs::write(folder.join(name), content)?;
    }
    Ok(dir)
}

/// The same images under numbers, and a list that `row` writes a line of.
fn listed(list: &str, first: &str, row: impl Fn(&str, &str, &str) -> String) -> Result<TempDir> {
    let dir = tempfile::tempdir()?;
    let mut lines = first.to_owned();
    fs::create_dir(dir.path().join("all"))?;
    for (number, ((attribute, object), _, content)) in images()?.into_iter().enumerate() {
        let name = format!("all/{number:03}.png");
        fs::write(dir.path().join(&name), content)?;
        lines += &(row(&name, attribute, object) + "\n");
    }
    fs::write(dir.path().join(list), lines)?;
    Ok(dir)
}

fn jsonl() -> Result<TempDir> {
    listed("metadata.jsonl", "", |name, attribute, object| {
        format!(r#"{{"file_name": "{name}", "attribute": "{attribute}", "object": "{object}", "more": [1]}}"#)
    })
}

fn csv() -> Result<TempDir> {
    listed("metadata.csv", "\u{feff}object,file_name,attribute\r\n", |name, attribute, object| {
        format!("{object},\"{name}\",{attribute}\r")
    })
}

fn append(archive: &mut tar::Builder<fs::File>, name: &str, content: &[u8]) -> Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_size(content.len() as u64);
    header.set_mode(0o644);
    Ok(archive.append_data(&mut header, name, content)?)
}

/// Shards of five images each.
fn shards() -> Result<TempDir> {
    let dir = tempfile::tempdir()?;
    for (shard, images) in images()?.chunks(5).enumerate() {
        let mut archive = tar::Builder::new(fs::File::create(dir.path().join(format!("{shard:05}.tar")))?);
        for (number, ((attribute, object), _, content)) in images.iter().enumerate() {
            let labels = serde_json::json!({"attribute": attribute, "object": object}).to_string();
            append(&mut archive, &format!("{number:04}.json"), labels.as_bytes())?;
            append(&mut archive, &format!("{number:04}.png"), content)?;
        }
        append(&mut archive, "lonely.png", &png(0)?)?;
        archive.finish()?;
    }
    Ok(dir)
}

fn open(root: &Path, change: impl FnOnce(&mut FolderConfig)) -> cccm_data::Result<FolderDataset> {
    let mut config = FolderConfig::new(discover(root, &KnownLabels::default())?, 4);
    change(&mut config);
    FolderDataset::open(root, &config)
}

/// The images and labels of a batch.
type Numbers = (Vec<f32>, Vec<Vec<u32>>);

/// The batches of two epochs, from a place on.
fn batches(dataset: FolderDataset, from: usize) -> Result<Vec<Numbers>> {
    let dataset: Arc<dyn Dataset> = Arc::new(dataset);
    let per_epoch = dataset.len().div_ceil(5);
    let loader = Loader::starting_at(dataset, &LoaderConfig::new(5, 3), from / per_epoch, from % per_epoch)?;
    let mut batches = Vec::new();
    for batch in loader.take(2 * per_epoch - from) {
        let batch = batch?;
        let labels = batch.labels.iter().map(candle_core::Tensor::to_vec1).collect::<Result<_, _>>()?;
        batches.push((batch.x_0.flatten_all()?.to_vec1()?, labels));
    }
    Ok(batches)
}

#[test]
fn every_form_is_the_same_data_set() -> Result<()> {
    let folders = folders()?;
    let want = batches(open(folders.path(), |_| ())?, 0)?;
    let vocabulary = discover(folders.path(), &KnownLabels::default())?;
    for (form, dir) in [("jsonl", jsonl()?), ("csv", csv()?), ("tar", shards()?)] {
        assert_eq!(discover(dir.path(), &KnownLabels::default())?, vocabulary, "{form}");
        let dataset = open(dir.path(), |_| ())?;
        let digest = dataset.digest()?;
        assert_eq!((dataset.len(), dataset.skipped()), (12, 0), "{form}");
        assert!(dataset.describe(0).contains("00"), "{}", dataset.describe(0));
        assert!(batches(dataset, 0)? == want, "{form}");
        assert!(batches(open(dir.path(), |_| ())?, 2)? == want[2..], "{form}, begun later");
        assert_eq!(open(dir.path(), |_| ())?.digest()?, digest, "{form}");

        let held_out = vocabulary.parse_folders(["red_cup"])?;
        let except = CombinationFilter::Except(held_out.clone());
        let seen = open(dir.path(), |config| config.combinations = except)?;
        assert_eq!(seen.len(), 9, "{form}");
        assert_ne!(seen.digest()?, digest);
        let report = FolderCheck::list(dir.path(), &KnownLabels::default(), Subfolders::default())?
            .run(Sameness::Pixels, &|_| ());
        assert!(report.is_sound() && report.images == 12 && report.counts["red_hat"] == 3, "{form}");
        assert_eq!(report.stray_images, if form == "tar" { 3 } else { 0 });
    }
    Ok(())
}

#[test]
fn columns_are_named_after_the_kinds() -> Result<()> {
    let dir = listed("metadata.jsonl", "", |name, colour, thing| {
        format!(r#"{{"file_name": "{name}", "colour": "{colour}", "thing": "{thing}", "size": 7}}"#)
    })?;
    let known = |kinds: &[&str]| KnownLabels::parse(kinds);
    let three = discover(dir.path(), &known(&["colour", "thing", "size"])?)?;
    assert_eq!(three.summary(), "colours: blue, red; things: cup, hat; sizes: 7");
    assert_eq!(FolderDataset::open(dir.path(), &FolderConfig::new(three, 4))?.len(), 12);
    let error = discover(dir.path(), &KnownLabels::default()).unwrap_err().to_string();
    assert!(
        error.contains("line 1: there is no column `attribute`, but")
            && error.contains("colour")
            && error.contains("--kind colour"),
        "{error}"
    );
    // Labels that are given refuse others.
    let given = cccm_data::Vocabulary::new([cccm_data::LabelKind::new("colour", ["blue", "rde"])])?;
    let error = FolderDataset::open(dir.path(), &FolderConfig::new(given, 4)).unwrap_err().to_string();
    assert!(error.contains("line 7: unknown colour `red`, did you mean `rde`?"), "{error}");
    Ok(())
}

#[test]
fn files_that_are_missing_and_files_that_no_row_names_are_told() -> Result<()> {
    let dir = jsonl()?;
    fs::remove_file(dir.path().join("all/003.png"))?;
    fs::write(dir.path().join("all/extra.png"), png(1)?)?;
    let error = open(dir.path(), |_| ()).unwrap_err();
    assert!(matches!(error, Error::MissingImages { count: 1, total: 12, .. }), "{error}");
    let vocabulary = discover(dir.path(), &KnownLabels::default());
    assert!(vocabulary.is_ok(), "labels are known without the files");
    let config = FolderConfig { on_bad_image: OnBadImage::Skip, ..FolderConfig::new(vocabulary?, 4) };
    assert_eq!(FolderDataset::open(dir.path(), &config)?.len(), 11);
    // Files that were converted since still fit.
    let dir = jsonl()?;
    fs::rename(dir.path().join("all/003.png"), dir.path().join("all/003.webp"))?;
    assert_eq!(open(dir.path(), |_| ())?.len(), 12);
    Ok(())
}

#[test]
fn rows_that_say_nothing_are_named_by_their_line() -> Result<()> {
    let good = r#"{"file_name": "all/000.png", "attribute": "red", "object": "cup"}"#;
    for (rows, problem) in [
        (format!("{good}\n{{"), "line 2: it is no JSON object"),
        (format!("{good}\n\n{good}"), "line 3: `all/000.png` stands in line 1 already"),
        (r#"{"attribute": "red", "object": "cup"}"#.to_owned(), "line 1: there is no column `file_name`"),
        (good.replace("\"red\"", "null"), "line 1: `attribute` is no text and no number"),
        (good.replace("red", ""), "line 1: it has no `attribute`"),
        (good.replace("red", "a/b"), "`a/b` cannot be part of a folder name"),
        (" ".repeat(2 << 20), "line 1: it is longer than"),
    ] {
        let dir = jsonl()?;
        fs::write(dir.path().join("metadata.jsonl"), rows)?;
        let error = open(dir.path(), |_| ()).unwrap_err().to_string();
        assert!(error.contains(problem), "{error}");
    }
    let dir = csv()?;
    fs::write(dir.path().join("metadata.csv"), "file_name,attribute,object\nall/000.png,red\n")?;
    let error = open(dir.path(), |_| ()).unwrap_err().to_string();
    assert!(error.contains("line 2: it is no row of a table with commas"), "{error}");
    fs::write(dir.path().join("metadata.jsonl"), "")?;
    assert!(matches!(open(dir.path(), |_| ()), Err(Error::TwoLists { .. })));
    fs::remove_file(dir.path().join("metadata.csv"))?;
    assert!(matches!(open(dir.path(), |_| ()), Err(Error::EmptyList { .. })));
    Ok(())
}

#[test]
fn shards_that_are_damaged_are_named() -> Result<()> {
    let dir = shards()?;
    let shard = dir.path().join("00001.tar");
    let whole = fs::read(&shard)?;
    for len in [whole.len() / 2, 700, 100] {
        fs::write(&shard, &whole[..len])?;
        let error = open(dir.path(), |_| ()).unwrap_err().to_string();
        assert!(error.contains("00001.tar"), "{len}: {error}");
    }
    fs::write(&shard, vec![1; 4096])?;
    assert!(open(dir.path(), |_| ()).unwrap_err().to_string().contains("00001.tar"));
    Ok(())
}

#[test]
fn json_counts_where_there_is_cls_too_and_archives_may_be_joined() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let shard = dir.path().join("a.tar");
    for first in ["cls", "json"] {
        let mut archive = tar::Builder::new(fs::File::create(&shard)?);
        let json = br#"{"attribute": "red", "object": "cup"}"#;
        for kind in [first, if first == "cls" { "json" } else { "cls" }, "png"] {
            let content = match kind {
                "cls" => b"7".to_vec(),
                "json" => json.to_vec(),
                _ => png(0)?,
            };
            append(&mut archive, &format!("0.{kind}"), &content)?;
        }
        archive.finish()?;
        assert_eq!(open(dir.path(), |_| ())?.len(), 1, "{first} first");
    }
    // Another one behind it, as `cat` joins them.
    let one = fs::read(&shard)?;
    let mut archive = tar::Builder::new(fs::File::create(&shard)?);
    append(&mut archive, "1.json", br#"{"attribute": "blue", "object": "hat"}"#)?;
    append(&mut archive, "1.png", &png(1)?)?;
    archive.finish()?;
    fs::write(&shard, [one, fs::read(&shard)?].concat())?;
    assert_eq!(open(dir.path(), |_| ())?.len(), 2);
    Ok(())
}

#[test]
fn a_data_set_is_the_same_wherever_it_lies_and_however_it_is_named() -> Result<()> {
    for dir in [jsonl()?, csv()?] {
        let digest = open(dir.path(), |_| ())?.digest()?;
        let list = ["metadata.jsonl", "metadata.csv"].map(|name| dir.path().join(name));
        let list = list.iter().find(|list| list.is_file()).context("there is a list")?;
        assert_eq!(open(list, |_| ())?.digest()?, digest);
        let moved = tempfile::tempdir()?;
        copy(dir.path(), &moved.path().join("elsewhere"))?;
        assert_eq!(open(&moved.path().join("elsewhere"), |_| ())?.digest()?, digest);
    }
    Ok(())
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let (path, place) = {
            let entry = entry?;
            (entry.path(), to.join(entry.file_name()))
        };
        if path.is_dir() { copy(&path, &place)? } else { fs::copy(&path, place).map(drop)? }
    }
    Ok(())
}

#[test]
fn a_quote_that_is_never_closed_is_told() -> Result<()> {
    let dir = csv()?;
    let open_quote = format!("file_name,attribute,object\n\"{}", "all/000.png,red,cup\n".repeat(100_000));
    fs::write(dir.path().join("metadata.csv"), open_quote)?;
    let error = open(dir.path(), |_| ()).unwrap_err().to_string();
    assert!(error.contains("a row is longer than 1048576 bytes: a quote may be open"), "{error}");
    Ok(())
}

#[test]
fn one_kind_of_labels_may_lie_in_cls() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let mut archive = tar::Builder::new(fs::File::create(dir.path().join("a.tar"))?);
    for (number, digit) in [7, 3, 7].into_iter().enumerate() {
        append(&mut archive, &format!("x/{number}.png"), &png(number)?)?;
        append(&mut archive, &format!("x/{number}.cls"), format!("{digit}\n").as_bytes())?;
    }
    archive.finish()?;
    let one = discover(dir.path(), &KnownLabels::parse(&["digit"])?)?;
    assert_eq!(one.summary(), "digits: 3, 7");
    let dataset = FolderDataset::open(dir.path().join("a.tar"), &FolderConfig::new(one, 4))?;
    assert_eq!((dataset.len(), dataset.combination(0)), (3, [1].into()));
    let error = discover(dir.path(), &KnownLabels::default()).unwrap_err().to_string();
    assert!(error.contains("it holds one label, and there are 2 kinds"), "{error}");
    // Beside the folders that it was unpacked to, an archive is no shard.
    let folder = dir.path().join("red_cup");
    fs::create_dir(&folder)?;
    fs::File::create(folder.join("a.png"))?.write_all(&png(0)?)?;
    assert_eq!(open(dir.path(), |_| ())?.len(), 1);
    let other = dir.path().join("notes.txt");
    fs::write(&other, "")?;
    let error = discover(&other, &KnownLabels::default()).err().context("a text is no data")?;
    assert!(matches!(error, Error::UnknownSource { .. }), "{error}");
    Ok(())
}
