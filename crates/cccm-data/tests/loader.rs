//! Batches: their contents, their order, and what happens when an image is bad or the loader goes away.

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use anyhow::Result;
use cccm_data::{
    Batch, Combination, Dataset, Error, FolderConfig, FolderDataset, LabelKind, Loader, LoaderConfig,
    OnBadImage, Sampling, Shard, Vocabulary,
};

/// Images of 2 × 2 pixels, image `i` filled with `i`, the first seven of combination (0, 0), the others of
/// combination (1, 0). Counts how often it is asked.
struct Numbered {
    vocabulary: Vocabulary,
    len: usize,
    bad: Vec<usize>,
    loads: AtomicUsize,
}

impl Default for Numbered {
    fn default() -> Self {
        Self {
            vocabulary: Vocabulary::unchecked([
                LabelKind::new("attribute", ["a", "b"]),
                LabelKind::new("object", ["x"]),
            ]),
            len: 10,
            bad: Vec::new(),
            loads: AtomicUsize::new(0),
        }
    }
}

impl Dataset for Numbered {
    fn vocabulary(&self) -> &Vocabulary {
        &self.vocabulary
    }
    fn image_px(&self) -> usize {
        2
    }
    fn len(&self) -> usize {
        self.len
    }
    fn combination(&self, index: usize) -> Combination {
        Combination::from([u32::from(index >= 7), 0])
    }
    fn load(&self, index: usize, out: &mut [f32]) -> cccm_data::Result<()> {
        self.loads.fetch_add(1, Ordering::Relaxed);
        thread::yield_now();
        if self.bad.contains(&index) {
            return Err(Error::CutOffImage { path: format!("image {index}").into() });
        }
        out.fill(index as f32);
        Ok(())
    }
    fn describe(&self, index: usize) -> String {
        format!("image {index}")
    }
}

/// Ten images, some of which cannot be decoded.
fn ten(bad: &[usize]) -> Arc<Numbered> {
    Arc::new(Numbered { bad: bad.to_vec(), ..Numbered::default() })
}

fn config(sampling: Sampling) -> LoaderConfig {
    LoaderConfig { sampling, ..LoaderConfig::new(4, 3) }
}

fn skipping() -> LoaderConfig {
    LoaderConfig { on_bad_image: OnBadImage::Skip, ..config(Sampling::Sequential) }
}

/// The numbers of the images in a batch, with its place.
fn numbers(batch: cccm_data::Result<Batch>) -> Result<(usize, usize, Vec<u32>)> {
    let batch = batch?;
    let images = batch.x_0.flatten_from(1)?.to_vec2::<f32>()?;
    assert!(images.iter().all(|image| image.iter().all(|value| *value == image[0])));
    Ok((batch.epoch, batch.index_in_epoch, images.iter().map(|image| image[0] as u32).collect()))
}

fn first(count: usize, loader: Loader) -> Result<Vec<(usize, usize, Vec<u32>)>> {
    loader.take(count).map(numbers).collect()
}

#[test]
fn epochs_follow_each_other_and_may_end_with_a_part() -> Result<()> {
    let loader = Loader::new(ten(&[]), &config(Sampling::Sequential))?;
    assert_eq!(loader.steps_per_epoch(), 3);
    let want =
        [(0, 0, vec![0, 1, 2, 3]), (0, 1, vec![4, 5, 6, 7]), (0, 2, vec![8, 9]), (1, 0, vec![0, 1, 2, 3])];
    assert_eq!(first(4, loader)?, want);
    Ok(())
}

#[test]
fn batches_have_the_documented_shapes_and_labels() -> Result<()> {
    let mut loader = Loader::new(ten(&[]), &config(Sampling::Sequential))?;
    let batch = loader.nth(1).transpose()?.ok_or_else(|| anyhow::anyhow!("endless"))?;
    assert_eq!(batch.x_0.dims(), [4, 3, 2, 2]);
    assert_eq!(batch.labels[0].to_vec1::<u32>()?, [0, 0, 0, 1]);
    assert_eq!(batch.labels[1].to_vec1::<u32>()?, [0, 0, 0, 0]);
    Ok(())
}

#[test]
fn resuming_gives_what_would_have_come() -> Result<()> {
    for sampling in [Sampling::ClassBalanced, Sampling::Shuffled] {
        let whole = first(12, Loader::new(ten(&[]), &config(sampling))?)?;
        for start in 0..9 {
            let loader = Loader::starting_at(ten(&[]), &config(sampling), start / 3, start % 3)?;
            assert_eq!(first(3, loader)?, whole[start..start + 3]);
        }
    }
    Ok(())
}

#[test]
fn shards_are_the_batches_cut_up_and_load_nothing_else() -> Result<()> {
    for sampling in [Sampling::ClassBalanced, Sampling::Sequential] {
        let whole = first(7, Loader::new(ten(&[]), &config(sampling))?)?;
        // The last batch of an epoch has 2 images: less than one for each of three, none for two of four.
        for count in [2, 3, 4] {
            let (mut parts, mut loads) = (vec![Vec::new(); 7], 0);
            for index in 0..count {
                let dataset = ten(&[]);
                let shard = Shard { index, count };
                let config = LoaderConfig { shard, workers: 1, prefetch: 1, ..config(sampling) };
                let mut loader = Loader::new(dataset.clone(), &config)?;
                for (parts, whole) in parts.iter_mut().zip(&whole) {
                    let batch = loader.next().transpose()?.ok_or_else(|| anyhow::anyhow!("endless"))?;
                    assert_eq!((batch.start, batch.total), (parts.len(), whole.2.len()));
                    let (images, labels) = (batch.x_0.dim(0)?, batch.labels[0].dim(0)?);
                    assert!(labels == images && images.abs_diff(batch.total / count) <= 1);
                    parts.extend(numbers(Ok(batch))?.2);
                }
                drop(loader);
                loads += dataset.loads.load(Ordering::Relaxed);
            }
            assert_eq!(parts, whole.iter().map(|batch| batch.2.clone()).collect::<Vec<_>>());
            // And no more than one batch ahead.
            let images: usize = parts.iter().map(Vec::len).sum();
            assert!((images..=images + 4).contains(&loads), "{loads} of {images}");
        }
    }
    Ok(())
}

#[test]
fn threads_do_not_change_the_batches() -> Result<()> {
    for bad in [&[][..], &[1, 2, 8]] {
        let one = LoaderConfig { workers: 1, prefetch: 1, sampling: Sampling::ClassBalanced, ..skipping() };
        let many = LoaderConfig { workers: 5, prefetch: 7, ..one.clone() };
        assert_eq!(first(30, Loader::new(ten(bad), &one)?)?, first(30, Loader::new(ten(bad), &many)?)?);
    }
    Ok(())
}

#[test]
fn no_more_than_the_prefetch_is_loaded_ahead() -> Result<()> {
    let dataset = ten(&[]);
    let config = LoaderConfig { prefetch: 2, ..config(Sampling::Sequential) };
    let mut loader = Loader::new(dataset.clone(), &config)?;
    loader.next();
    loader.next();
    drop(loader);
    // Two batches were taken, two more may be in flight: an epoch of ten images and a batch of four.
    assert!(dataset.loads.load(Ordering::Relaxed) <= 14);
    Ok(())
}

#[test]
fn bad_image_stops_with_its_name_and_only_its_batch() -> Result<()> {
    let mut loader = Loader::new(ten(&[5]), &config(Sampling::Sequential))?;
    assert!(loader.next().is_some_and(|batch| batch.is_ok()));
    let error = loader.next().and_then(Result::err).map(|error| error.to_string());
    assert!(error.as_ref().is_some_and(|error| error.contains("image 5")), "{error:?}");
    assert!(loader.next().is_some_and(|batch| batch.is_ok()));
    assert_eq!(loader.skipped(), 0);
    Ok(())
}

#[test]
fn skipped_image_is_replaced_by_the_next_of_its_pair() -> Result<()> {
    let mut loader = Loader::new(ten(&[1, 5, 6, 9]), &skipping())?;
    let epoch: Vec<_> = loader.by_ref().take(3).map(|batch| Ok(numbers(batch)?.2)).collect::<Result<_>>()?;
    // 2 stands in for 1; 5 and 6 end their combination, and 9 its own, so that the search goes round.
    assert_eq!(epoch.concat(), [0, 2, 2, 3, 4, 0, 0, 7, 8, 7]);
    assert_eq!(loader.skipped(), 4);
    Ok(())
}

#[test]
fn pair_without_a_good_image_is_an_error() -> Result<()> {
    let loader = Loader::new(ten(&[7, 8, 9]), &skipping())?;
    let error = loader.take(3).find_map(Result::err);
    assert!(
        matches!(&error, Some(Error::UnreadableCombination { combination, count: 3, .. }) if combination == "b_x"),
        "{error:?}"
    );
    Ok(())
}

#[test]
fn images_known_to_be_bad_do_not_stand_in() -> Result<()> {
    let dataset = ten(&[0, 1, 2, 3, 4, 5, 6]);
    let config = LoaderConfig { batch_size: 1, workers: 1, prefetch: 1, ..skipping() };
    let mut loader = Loader::new(dataset.clone(), &config)?;
    for _ in 0..7 {
        assert!(matches!(loader.next(), Some(Err(Error::UnreadableCombination { .. }))));
    }
    drop(loader);
    // Once each as a stand-in for the first, once each for its own turn, and one image ahead.
    assert!(dataset.loads.load(Ordering::Relaxed) <= 7 + 6 + 1);
    Ok(())
}

#[test]
fn truncated_file_is_replaced_or_named() -> Result<()> {
    let root = tempfile::tempdir()?;
    let folder = root.path().join("a_x");
    fs::create_dir(&folder)?;
    for (name, level) in [("0.png", 0), ("1.png", 255)] {
        image::RgbImage::from_pixel(9, 9, image::Rgb([level; 3])).save(folder.join(name))?;
    }
    let file = folder.join("0.png");
    let bytes = fs::read(&file)?;
    fs::write(&file, &bytes[..bytes.len() - 20])?;

    let vocabulary = Vocabulary::of_pairs(["a"], ["x"])?;
    let on_bad_image = OnBadImage::Stop;
    let dataset = FolderConfig { on_bad_image, ..FolderConfig::new(vocabulary, 4) };
    let dataset = Arc::new(FolderDataset::open(&root, &dataset)?);
    let mut loader = Loader::new(dataset.clone(), &config(Sampling::Sequential))?;
    let error = loader.next().and_then(Result::err).map(|error| error.to_string());
    assert!(error.as_ref().is_some_and(|error| error.contains("0.png")), "{error:?}");

    let mut loader = Loader::new(dataset, &skipping())?;
    let batch = loader.next().transpose()?.ok_or_else(|| anyhow::anyhow!("endless"))?;
    assert_eq!(batch.x_0.flatten_all()?.to_vec1::<f32>()?, [1.0; 2 * 3 * 4 * 4]);
    assert_eq!(loader.skipped(), 1);
    Ok(())
}

#[test]
fn settings_out_of_range_are_refused() {
    let good = config(Sampling::Shuffled);
    for (field, bad) in [
        ("batch_size", LoaderConfig { batch_size: 0, ..good.clone() }),
        ("shard.count", LoaderConfig { shard: Shard { index: 0, count: 0 }, ..good.clone() }),
        ("shard.index", LoaderConfig { shard: Shard { index: 2, count: 2 }, ..good.clone() }),
        ("workers", LoaderConfig { workers: 0, ..good.clone() }),
        ("prefetch", LoaderConfig { prefetch: 0, ..good.clone() }),
    ] {
        let error = Loader::new(ten(&[]), &bad).err();
        assert!(matches!(error, Some(Error::InvalidConfig { field: name, .. }) if name == field));
    }
    let error = Loader::starting_at(ten(&[]), &good, 0, 3).err();
    assert!(matches!(error, Some(Error::InvalidConfig { field: "index_in_epoch", .. })));
}

#[test]
fn dropping_waits_for_the_images_at_hand_only() -> Result<()> {
    let dataset = Arc::new(Numbered { len: 1_000_000, ..Numbered::default() });
    let config = LoaderConfig { batch_size: dataset.len, prefetch: 1, ..config(Sampling::Sequential) };
    drop(Loader::new(dataset.clone(), &config)?);
    assert!(dataset.loads.load(Ordering::Relaxed) < dataset.len);
    Ok(())
}
