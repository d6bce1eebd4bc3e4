//! The classifier that judges pictures: trained on real images, once for each set of them.

use std::collections::HashMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use cccm_data::{Batch, Combination, Dataset, Loader, LoaderConfig, Subset};
use cccm_eval::{Accuracy, BoxError, Classifier, ClassifierConfig, ClassifierTraining, LabelledBatch};
use cccm_labels::LabelKind;
use cccm_run::write_atomically;
use safetensors::SafeTensors;
use sha2::{Digest, Sha256};

use crate::progress::{Progress, Watch, Work};
use crate::real::{RealImages, load};

/// Images of a classifier's training batch.
const BATCH: usize = 64;
/// Real images of a combination that a classifier is tested with, at most.
const TEST_PER_PAIR: usize = 200;
/// To be changed whenever the program would train another classifier on the same images.
const VERSION: &str = "classifier 1";
/// Key of a file's header: what the classifier was made of.
const ORIGIN: &str = "origin";

/// A classifier, and how good it is.
pub struct Judge {
    /// The classifier.
    pub classifier: Classifier,
    /// On real images that it did not learn from.
    pub accuracy: Accuracy,
}

/// Where a classifier is kept.
pub enum Keep {
    /// In the user's cache, under a name that tells the data and the training.
    Cache,
    /// In this file.
    File(PathBuf),
}

impl Judge {
    /// Reads the classifier of these images, or trains it and keeps it.
    /// - `interrupted`: asked after every step; a yes ends the training with an error
    ///
    /// # Errors
    /// When the classifier can neither be read nor trained, or is one for other images.
    pub fn of(
        real: &RealImages,
        labels: &[LabelKind],
        training: &ClassifierTraining,
        keep: &Keep,
        interrupted: &dyn Fn() -> bool,
        watch: &Watch<'_>,
    ) -> Result<Self> {
        let config = ClassifierConfig { image_px: real.train.image_px(), labels: labels.to_vec() };
        let origin = origin(&config, real, training)?;
        let (path, found) = match keep {
            Keep::File(path) => (Some(path.clone()), named(path, &config, &origin)?),
            Keep::Cache => {
                let path = cached(&origin);
                let found = path.as_deref().and_then(|path| kept(path, &config, &origin));
                (path, found)
            }
        };
        let classifier = if let Some(found) = found {
            found
        } else {
            let classifier = train(&config, real, training, interrupted, watch)?;
            if let Some(path) = &path {
                let header = HashMap::from([(ORIGIN.to_owned(), origin)]);
                match (write_atomically(path, &classifier.to_bytes_with(header)?), keep) {
                    (Ok(()), _) => tracing::info!("the classifier is kept in {}", path.display()),
                    // The classifier is in memory, and can be trained again.
                    (Err(error), Keep::Cache) => tracing::warn!("the classifier is not kept: {error:#}"),
                    (Err(error), Keep::File(_)) => return Err(error),
                }
            }
            classifier
        };
        let accuracy = test(&classifier, real)?;
        tracing::info!(
            "the classifier recognises all labels of {:.1} % of {} real images that it did not learn from",
            100.0 * accuracy.all.rate,
            accuracy.all.of
        );
        Ok(Self { classifier, accuracy })
    }
}

/// Digest of the images and the training that make a classifier.
fn origin(config: &ClassifierConfig, real: &RealImages, training: &ClassifierTraining) -> Result<String> {
    let mut hasher = Sha256::new();
    for text in [
        VERSION.to_owned(),
        serde_json::to_string(config)?,
        serde_json::to_string(training)?,
        real.train.digest()?,
    ] {
        hasher.update(format!("{}:{text}", text.len()));
    }
    Ok(hex::encode(hasher.finalize()))
}

fn cached(origin: &str) -> Option<PathBuf> {
    let folder = dirs::cache_dir().map(|cache| cache.join("cccm").join("classifiers"));
    folder.map(|folder| folder.join(format!("{}.safetensors", &origin[..16])))
}

/// The classifier in the cache, if it is there, undamaged and made from the same images; otherwise a warning
/// says why it is trained again.
fn kept(path: &Path, config: &ClassifierConfig, origin: &str) -> Option<Classifier> {
    let check = || -> Result<Option<Classifier>> {
        let Some(bytes) = bytes_of(path)? else { return Ok(None) };
        let classifier = Classifier::from_bytes(&bytes)?;
        if entry(&bytes, Classifier::DIGEST)?.is_none() {
            bail!("it has no digest");
        }
        if classifier.config() != config || entry(&bytes, ORIGIN)?.as_deref() != Some(origin) {
            bail!("it is the classifier of other images");
        }
        Ok(Some(classifier))
    };
    check().unwrap_or_else(|error| {
        tracing::warn!("the classifier kept in {} is made anew: {error:#}", path.display());
        None
    })
}

/// The classifier in a file that somebody named, if the file is there.
fn named(path: &Path, config: &ClassifierConfig, origin: &str) -> Result<Option<Classifier>> {
    let Some(bytes) = bytes_of(path).with_context(|| format!("cannot read {}", path.display()))? else {
        return Ok(None);
    };
    let classifier =
        Classifier::from_bytes(&bytes).with_context(|| format!("cannot use {}", path.display()))?;
    if classifier.config() != config {
        bail!(
            "the classifier in {} is for images of {} pixels with other labels than these of {} pixels; name \
             another file to train one",
            path.display(),
            classifier.config().image_px,
            config.image_px
        );
    }
    match entry(&bytes, ORIGIN)? {
        Some(found) if found != origin => tracing::warn!(
            "the classifier in {} was trained on other images, or for another number of steps; the images that it is \
             tested with here may be among its training images",
            path.display()
        ),
        _ => {}
    }
    Ok(Some(classifier))
}

/// A file's content; none only where the system says that it is not there.
fn bytes_of(path: &Path) -> std::io::Result<Option<Vec<u8>>> {
    match std::fs::read(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        read => read.map(Some),
    }
}

/// An entry of a file's header.
fn entry(bytes: &[u8], key: &str) -> Result<Option<String>> {
    let (_, header) = SafeTensors::read_metadata(bytes)?;
    Ok(header.metadata().as_ref().and_then(|entries| entries.get(key)).cloned())
}

fn train(
    config: &ClassifierConfig,
    real: &RealImages,
    training: &ClassifierTraining,
    interrupted: &dyn Fn() -> bool,
    watch: &Watch<'_>,
) -> Result<Classifier> {
    let started = Instant::now();
    tracing::info!("training a classifier on {} real images", real.train.len());
    let loader = Loader::new(Arc::clone(&real.train), &LoaderConfig::new(BATCH, training.seed))?;
    let batches = loader.map(|batch| -> Result<LabelledBatch, BoxError> {
        if interrupted() {
            return Err("asked to stop".into());
        }
        let Batch { x_0, labels, .. } = batch?;
        Ok(LabelledBatch { images: x_0, labels })
    });
    let total = training.steps as usize;
    let told = &mut |step| watch(Progress { work: Work::Classifier, done: step as usize, total });
    let classifier = training.run(config, batches, told);
    told(training.steps);
    tracing::info!("trained in {:.0} s", started.elapsed().as_secs_f64());
    Ok(classifier?)
}

fn test(classifier: &Classifier, real: &RealImages) -> Result<Accuracy> {
    let images = Subset::balanced(Arc::clone(&real.test), TEST_PER_PAIR)?;
    let all: Vec<usize> = (0..images.len()).collect();
    let combinations: Vec<Combination> = all.iter().map(|index| images.combination(*index)).collect();
    let answers = classifier.answer(&load(&images, &all)?)?;
    accuracy(classifier.config(), &combinations, &answers.labels, real)
}

/// How many of the combinations are recognised.
pub(crate) fn accuracy(
    config: &ClassifierConfig,
    combinations: &[Combination],
    answered: &[Vec<u32>],
    real: &RealImages,
) -> Result<Accuracy> {
    let counts: Vec<usize> = config.labels.iter().map(|kind| kind.names.len()).collect();
    let seen = |labels: &[u32]| !real.held_out.contains(&Combination::new(labels.iter().copied()));
    // The labels as they are counted, kind by kind.
    let wanted: Vec<Vec<u32>> =
        (0..counts.len()).map(|kind| combinations.iter().map(|labels| labels[kind]).collect()).collect();
    Ok(Accuracy::new(&wanted, answered, &counts, &seen)?)
}
