//! The threads of a loader: each takes one batch at a time and answers with its tensors.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, Sender},
    },
};

use candle_core::{Device, Tensor};

use crate::{
    Batch, Combination, Dataset, Error, Flip, LoaderConfig, OnBadImage, Result,
    dataset::{MOST_WARNINGS, warn_of_bad_image},
    fitting::windows,
    flip::{mirror, tosses},
    sampling::images_by_combination,
};

/// One batch to be loaded.
pub(crate) struct Job {
    pub(crate) images: Vec<usize>,
    /// Place of the first of them in its epoch.
    pub(crate) place: usize,
    /// Place of the first of them in its batch, and how many that has.
    pub(crate) start: usize,
    pub(crate) total: usize,
    pub(crate) epoch: usize,
    pub(crate) index_in_epoch: usize,
    /// Where the batch goes.
    pub(crate) reply: Sender<Result<Batch>>,
}

/// What the threads of one loader share.
pub(crate) struct Source {
    dataset: Arc<dyn Dataset>,
    on_bad_image: OnBadImage,
    flip: Option<Flip>,
    seed: u64,
    images_by_combination: BTreeMap<Combination, Vec<usize>>,
    bad_images: Mutex<BTreeSet<usize>>,
    stopped: AtomicBool,
}

impl Source {
    pub(crate) fn new(dataset: Arc<dyn Dataset>, config: &LoaderConfig) -> Self {
        Self {
            images_by_combination: images_by_combination(&*dataset),
            dataset,
            on_bad_image: config.on_bad_image,
            flip: config.flip.clone(),
            seed: config.seed,
            bad_images: Mutex::default(),
            stopped: AtomicBool::new(false),
        }
    }

    /// Works on jobs until there are no more, or until [`Source::stop`].
    pub(crate) fn serve(&self, inbox: &Mutex<Receiver<Job>>) {
        while let Some(job) = next_job(inbox) {
            match self.load_batch(&job).transpose() {
                // Fails when nobody waits for the batch any more.
                Some(batch) => drop(job.reply.send(batch)),
                None => return,
            }
        }
    }

    /// Lets every thread end after the image it is at.
    pub(crate) fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    /// How many different images could not be decoded so far.
    pub(crate) fn num_bad_images(&self) -> usize {
        self.bad_images().len()
    }

    /// `None` when stopped.
    fn load_batch(&self, job: &Job) -> Result<Option<Batch>> {
        let (batch_size, px) = (job.images.len(), self.dataset.image_px());
        let image_len = 3 * px * px;
        let mut x_0 = vec![0.0; batch_size * image_len];
        let images = job.images.iter().zip(x_0.chunks_exact_mut(image_len));
        let windows = windows(self.seed, job.epoch, job.place, batch_size);
        for (((&index, image), mirrored), window) in images.zip(self.mirrored(job)).zip(windows) {
            if self.stopped.load(Ordering::Relaxed) {
                return Ok(None);
            }
            self.load(index, window, image)?;
            if mirrored {
                mirror(image, px);
            }
        }
        let labels = |kind: usize| {
            let labels = job.images.iter().map(|&index| self.dataset.combination(index)[kind]).collect();
            Tensor::from_vec(labels, batch_size, &Device::Cpu)
        };
        let kinds = self.dataset.vocabulary().kinds().len();
        Ok(Some(Batch {
            x_0: Tensor::from_vec(x_0, (batch_size, 3, px, px), &Device::Cpu)?,
            labels: (0..kinds).map(labels).collect::<candle_core::Result<_>>()?,
            start: job.start,
            total: job.total,
            epoch: job.epoch,
            index_in_epoch: job.index_in_epoch,
        }))
    }

    /// Which of the images of a job are mirrored.
    fn mirrored(&self, job: &Job) -> Vec<bool> {
        let Some(flip) = &self.flip else { return vec![false; job.images.len()] };
        let tosses = tosses(self.seed, job.epoch, job.place, job.images.len());
        let images = job.images.iter().zip(tosses);
        images.map(|(&index, toss)| toss && flip.mirrors(&self.dataset.combination(index))).collect()
    }

    fn load(&self, index: usize, window: f64, image: &mut [f32]) -> Result<()> {
        match (self.dataset.load_window(index, window, image), self.on_bad_image) {
            (Err(error), OnBadImage::Skip) => {
                self.note_bad(index, &error);
                self.load_substitute(index, error, window, image)
            }
            (result, _) => result,
        }
    }

    /// Loads the next image of the same combination that can be decoded, so that labels and balance stay the
    /// same and every run finds the same image. Images that are known to be bad are not tried again: in a
    /// combination with many bad images, each image would otherwise cost as many reads.
    fn load_substitute(&self, bad: usize, mut error: Error, window: f64, image: &mut [f32]) -> Result<()> {
        let combination = self.dataset.combination(bad);
        let group = self.images_by_combination.get(&combination).map_or(&[][..], Vec::as_slice);
        let (before, after) = group.split_at(group.partition_point(|&index| index <= bad));
        for &index in after.iter().chain(before).filter(|&&index| !self.is_bad(index)) {
            match self.dataset.load_window(index, window, image) {
                Ok(()) => return Ok(()),
                Err(other) => {
                    self.note_bad(index, &other);
                    error = other;
                }
            }
        }
        Err(Error::UnreadableCombination {
            noun: self.dataset.vocabulary().noun(),
            combination: self.dataset.vocabulary().folder_name(&combination),
            count: group.len(),
            source: Box::new(error),
        })
    }

    fn is_bad(&self, index: usize) -> bool {
        self.bad_images().contains(&index)
    }

    fn note_bad(&self, index: usize, error: &Error) {
        let count = {
            let mut bad_images = self.bad_images();
            if !bad_images.insert(index) {
                return;
            }
            bad_images.len()
        };
        if count <= MOST_WARNINGS {
            warn_of_bad_image(&*self.dataset, index, error);
        }
        if count == MOST_WARNINGS {
            tracing::warn!("further images that cannot be loaded are counted only");
        }
    }

    fn bad_images(&self) -> MutexGuard<'_, BTreeSet<usize>> {
        // A set of numbers is whole after any panic.
        self.bad_images.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn next_job(inbox: &Mutex<Receiver<Job>>) -> Option<Job> {
    inbox.lock().unwrap_or_else(PoisonError::into_inner).recv().ok()
}
