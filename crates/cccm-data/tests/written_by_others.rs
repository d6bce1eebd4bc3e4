//! Lists and shards that other libraries wrote (`fixtures/lists.py`) are the data set that the same images in folders are.

#![cfg(test)]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Result;
use cccm_data::{
    Dataset, FolderCheck, FolderConfig, FolderDataset, KnownLabels, Loader, LoaderConfig, Sameness,
    Subfolders, discover,
};

/// What a build reads: all of them, or all but Parquet.
const FORMS: &[&str] = if cfg!(feature = "parquet") {
    &[
        "imagefolder",
        "webdataset",
        "pyarrow_none",
        "pyarrow_snappy",
        "pyarrow_gzip",
        "pyarrow_zstd",
        "datasets",
        "datasets/data/train-00000-of-00002.parquet",
    ]
} else {
    &["imagefolder", "webdataset"]
};

fn form(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/lists").join(name)
}

fn open(name: &str) -> cccm_data::Result<FolderDataset> {
    let vocabulary = discover(form(name), &KnownLabels::default())?;
    FolderDataset::open(form(name), &FolderConfig::new(vocabulary, 4))
}

/// The pixels of each image and its labels, as folders spell them.
fn images(dataset: &FolderDataset) -> Result<Vec<(Vec<f32>, String)>> {
    let image = |index| {
        let mut pixels = vec![0.0; 48];
        dataset.load(index, &mut pixels)?;
        Ok((pixels, dataset.vocabulary().folder_name(&dataset.combination(index))))
    };
    (0..dataset.len()).map(image).collect()
}

#[test]
fn every_form_holds_what_folders_hold() -> Result<()> {
    let folders = open("folders")?;
    let want = images(&folders)?;
    for name in FORMS {
        let dataset = open(name)?;
        let count = if name.ends_with("00000-of-00002.parquet") { 6 } else { 12 };
        assert_eq!(dataset.len(), count, "{name}");
        assert!(images(&dataset)? == want[..count], "{name}");
        let report = FolderCheck::list(form(name), &KnownLabels::default(), Subfolders::default())?
            .run(Sameness::Pixels, &|_| ());
        assert!(report.is_sound() && report.images == count && report.duplicates.is_empty(), "{name}");
        assert_eq!(open(name)?.digest()?, dataset.digest()?, "{name}");
        if count < 12 {
            continue;
        }
        let batches = |dataset: FolderDataset| -> Result<Vec<Vec<f32>>> {
            let loader = Loader::new(Arc::new(dataset), &LoaderConfig::new(5, 3))?;
            loader.take(6).map(|batch| Ok(batch?.x_0.flatten_all()?.to_vec1()?)).collect()
        };
        assert!(batches(dataset)? == batches(open("folders")?)?, "{name}");
    }
    Ok(())
}

#[test]
fn one_kind_lies_in_cls() -> Result<()> {
    let vocabulary = discover(form("webdataset_cls"), &KnownLabels::parse(&["colour"])?)?;
    assert_eq!(vocabulary.summary(), "colours: blue, red");
    Ok(())
}

#[test]
#[cfg(feature = "parquet")]
fn parquet_that_cannot_be_used_is_named() -> Result<()> {
    let error = |known: &[&str], name: &str| -> Result<String> {
        Ok(discover(form(name), &KnownLabels::parse(known)?).unwrap_err().to_string())
    };
    let said = error(&["colour"], "datasets")?;
    assert!(
        said.contains(
            "train-00000-of-00002.parquet`: there is no column `colour`, but image, attribute, object"
        ),
        "{said}"
    );
    let said = error(&["image"], "pyarrow_none")?;
    assert!(said.contains("row 0: `image` is no text and no whole number"), "{said}");
    // Cut off, or something else altogether.
    let whole = std::fs::read(form("pyarrow_snappy/images.parquet"))?;
    let dir = tempfile::tempdir()?;
    let file = dir.path().join("images.parquet");
    for len in [0, 3, 100, whole.len() - 1] {
        std::fs::write(&file, &whole[..len])?;
        let said = discover(dir.path(), &KnownLabels::default()).unwrap_err().to_string();
        assert!(said.contains("images.parquet`: it is no Parquet file"), "{len}: {said}");
    }
    Ok(())
}
