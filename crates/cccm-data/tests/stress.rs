//! What loading survives: files and folders that go away during a run, and consumers that are slow.

use std::{
    fs,
    path::Path,
    sync::{
        Arc, Mutex,
        mpsc::{self, Receiver, Sender},
    },
};

use anyhow::{Context, Result};
use cccm_data::{
    Combination, Dataset, Error, FolderConfig, FolderDataset, Loader, LoaderConfig, OnBadImage, Sampling,
    Vocabulary,
};
use image::{Rgb, RgbImage};

/// Images of one level each, `0.png` to `9.png`, of one combination.
fn ten(root: &Path) -> Result<FolderDataset> {
    let folder = root.join("a_x");
    fs::create_dir(&folder)?;
    for number in 0..10 {
        RgbImage::from_pixel(4, 4, Rgb([25 * number; 3])).save(folder.join(format!("{number}.png")))?;
    }
    let vocabulary = Vocabulary::of_pairs(["a"], ["x"])?;
    let on_bad_image = OnBadImage::Stop;
    Ok(FolderDataset::open(root, &FolderConfig { on_bad_image, ..FolderConfig::new(vocabulary, 4) })?)
}

/// One image a batch, in order, no more than one ahead: whatever comes after the next batch is loaded
/// later than the test changes it.
fn one_by_one(on_bad_image: OnBadImage) -> LoaderConfig {
    LoaderConfig {
        sampling: Sampling::Sequential,
        workers: 1,
        prefetch: 1,
        on_bad_image,
        ..LoaderConfig::new(1, 0)
    }
}

/// The numbers of the images that the next batches show.
fn numbers(loader: &mut Loader, count: usize) -> Result<Vec<u32>> {
    let number = |batch: cccm_data::Result<cccm_data::Batch>| {
        let level = batch?.x_0.flatten_all()?.to_vec1::<f32>()?[0];
        Ok(((level + 1.0) * 127.5 / 25.0).round() as u32)
    };
    loader.by_ref().take(count).map(number).collect()
}

#[test]
fn a_file_deleted_during_the_run_stops_it_by_name() -> Result<()> {
    let root = tempfile::tempdir()?;
    let dataset = Arc::new(ten(root.path())?);
    let mut loader = Loader::new(dataset, &one_by_one(OnBadImage::Stop))?;
    assert_eq!(numbers(&mut loader, 2)?, [0, 1]);
    let file = root.path().join("a_x/5.png");
    fs::remove_file(&file)?;
    assert_eq!(numbers(&mut loader, 3)?, [2, 3, 4]);
    let error = loader.next().and_then(Result::err);
    assert!(matches!(&error, Some(Error::Io { path, .. }) if *path == file), "{error:?}");
    Ok(())
}

#[test]
fn a_file_deleted_during_the_run_is_replaced_and_counted() -> Result<()> {
    let root = tempfile::tempdir()?;
    let dataset = Arc::new(ten(root.path())?);
    let mut loader = Loader::new(dataset, &one_by_one(OnBadImage::Skip))?;
    assert_eq!(numbers(&mut loader, 2)?, [0, 1]);
    fs::remove_file(root.path().join("a_x/5.png"))?;
    assert_eq!(numbers(&mut loader, 8)?, [2, 3, 4, 6, 6, 7, 8, 9]);
    assert_eq!(numbers(&mut loader, 10)?, [0, 1, 2, 3, 4, 6, 6, 7, 8, 9]);
    assert_eq!(loader.skipped(), 1);
    Ok(())
}

#[test]
fn a_folder_that_vanishes_is_an_error_every_time() -> Result<()> {
    let root = tempfile::tempdir()?;
    let dataset = Arc::new(ten(root.path())?);
    let mut loader = Loader::new(dataset, &one_by_one(OnBadImage::Skip))?;
    assert_eq!(numbers(&mut loader, 1)?, [0]);
    fs::remove_dir_all(root.path().join("a_x"))?;
    // Batch 1 may have been loaded before.
    loader.next();
    for _ in 0..20 {
        let error = loader.next().and_then(Result::err);
        assert!(
            matches!(&error, Some(Error::UnreadableCombination { combination, count: 10, .. }) if combination == "a_x"),
            "{error:?}"
        );
    }
    assert_eq!(loader.skipped(), 10);
    Ok(())
}

/// Images that are loaded when the test says so.
struct Slow {
    vocabulary: Vocabulary,
    started: Sender<usize>,
    go: Mutex<Receiver<()>>,
}

impl Slow {
    /// The dataset, a message for every image that a thread begins with, and what lets it end.
    fn new() -> Result<(Arc<Self>, Receiver<usize>, Sender<()>)> {
        let ((started, starts), (goes, go)) = (mpsc::channel(), mpsc::channel());
        let slow = Self { vocabulary: Vocabulary::of_pairs(["a"], ["x"])?, started, go: Mutex::new(go) };
        Ok((Arc::new(slow), starts, goes))
    }
}

impl Dataset for Slow {
    fn vocabulary(&self) -> &Vocabulary {
        &self.vocabulary
    }
    fn image_px(&self) -> usize {
        1
    }
    fn len(&self) -> usize {
        1000
    }
    fn combination(&self, _: usize) -> Combination {
        Combination::from([0, 0])
    }
    fn load(&self, index: usize, out: &mut [f32]) -> cccm_data::Result<()> {
        // Both fail when the test is over, and then it does not matter.
        let _ = self.started.send(index);
        let _ = self.go.lock().map(|go| go.recv());
        out.fill(index as f32);
        Ok(())
    }
    fn describe(&self, index: usize) -> String {
        index.to_string()
    }
}

#[test]
fn threads_never_run_further_ahead_than_the_prefetch() -> Result<()> {
    for (workers, prefetch) in [(1, 1), (4, 2), (2, 5), (8, 3)] {
        let (dataset, starts, goes) = Slow::new()?;
        // Nothing holds the threads back but the loader.
        for _ in 0..1000 {
            goes.send(())?;
        }
        let config = LoaderConfig { workers, prefetch, ..one_by_one(OnBadImage::Stop) };
        let mut loader = Loader::new(dataset, &config)?;
        let taken = 7;
        for number in 0..taken {
            let batch = loader.next().transpose()?.context("endless")?;
            assert_eq!(batch.x_0.flatten_all()?.to_vec1::<f32>()?, [number as f32; 3]);
        }
        // All that was ordered is loaded, for as long as anyone cares to wait.
        let mut begun: Vec<usize> = starts.iter().take(taken + prefetch).collect();
        begun.sort_unstable();
        assert_eq!(begun, (0..taken + prefetch).collect::<Vec<_>>());
        // Dropping waits for the threads, which have dropped the dataset then.
        drop(loader);
        assert_eq!(starts.iter().count(), 0, "{workers} workers, {prefetch} batches ahead");
    }
    Ok(())
}

#[test]
fn a_slow_dataset_holds_up_its_own_batch_only() -> Result<()> {
    let (dataset, starts, goes) = Slow::new()?;
    let config = LoaderConfig { workers: 2, prefetch: 2, ..one_by_one(OnBadImage::Stop) };
    let mut loader = Loader::new(dataset, &config)?;
    // Both threads are at an image, and neither can end: there is no third.
    let mut begun = [starts.recv()?, starts.recv()?];
    begun.sort_unstable();
    assert_eq!(begun, [0, 1]);
    assert!(starts.try_recv().is_err());
    goes.send(())?;
    goes.send(())?;
    assert!(loader.next().is_some_and(|batch| batch.is_ok()));
    drop(goes);
    Ok(())
}
