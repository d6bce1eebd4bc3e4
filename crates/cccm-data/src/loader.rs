//! Batches, decoded by threads ahead of whoever uses them, in an order that depends on the seed alone.

use std::{
    collections::VecDeque,
    ops::Range,
    sync::{
        Arc, Mutex,
        mpsc::{self, Receiver, Sender},
    },
    thread::{self, JoinHandle},
};

use crate::{
    Batch, Dataset, Error, Flip, OnBadImage, Result, Sampling,
    sampling::Sampler,
    worker::{Job, Source},
};

/// Which part of every batch a loader gives, where several train one model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    /// Which one, below `count`.
    pub index: usize,
    /// Parts that a batch has, at least 1.
    pub count: usize,
}

impl Shard {
    /// Whole batches.
    pub const WHOLE: Self = Self { index: 0, count: 1 };

    /// The places of its images in a batch of so many. Parts differ in size by no more than one image; the first are the
    /// larger ones.
    const fn of(self, images: usize) -> Range<usize> {
        let (share, rest) = (images / self.count, images % self.count);
        let larger_before = if self.index < rest { self.index } else { rest };
        let start = self.index * share + larger_before;
        start..start + share + (self.index < rest) as usize
    }
}

/// How images become batches.
#[derive(Clone, Debug)]
pub struct LoaderConfig {
    /// Images per batch, at least 1, all parts together; the last batch of an epoch may have fewer.
    pub batch_size: usize,
    /// The part of every batch to load; images of the others are not touched. It is empty where a batch has fewer images
    /// than parts.
    pub shard: Shard,
    /// Everything random follows from it.
    pub seed: u64,
    /// In which order an epoch visits the images.
    pub sampling: Sampling,
    /// Which images may be mirrored as they are drawn; without it none is.
    pub flip: Option<Flip>,
    /// Threads that load images, at least 1.
    pub workers: usize,
    /// Batches in flight ahead of the consumer, at least 1; they bound the memory in use.
    pub prefetch: usize,
    /// What to do about an image that cannot be decoded.
    pub on_bad_image: OnBadImage,
}

impl LoaderConfig {
    /// Whole class-balanced batches, no image mirrored, loaded by two threads, four batches ahead; a bad image is an error.
    pub const fn new(batch_size: usize, seed: u64) -> Self {
        Self {
            batch_size,
            shard: Shard::WHOLE,
            seed,
            sampling: Sampling::ClassBalanced,
            flip: None,
            workers: 2,
            prefetch: 4,
            on_bad_image: OnBadImage::Stop,
        }
    }

    fn validate(&self) -> Result<()> {
        let Shard { index, count } = self.shard;
        for (field, value) in [
            ("batch_size", self.batch_size),
            ("shard.count", count),
            ("workers", self.workers),
            ("prefetch", self.prefetch),
        ] {
            if value == 0 {
                return Err(Error::InvalidConfig { field, got: "0".to_owned(), want: "at least 1" });
            }
        }
        if index >= count {
            let want = "below `shard.count`";
            return Err(Error::InvalidConfig { field: "shard.index", got: index.to_string(), want });
        }
        Ok(())
    }
}

/// An endless iterator over the batches of one epoch after the other.
///
/// Which images a batch holds, and which of them are mirrored, depends on the dataset, the seed, the epoch and the place
/// in it; neither threads nor the start position matter, so that a resumed run sees what an uninterrupted one
/// would have seen. After an error the iterator goes on with the next batch. Dropping the loader ends its
/// threads, each after the image it is at.
///
/// ```
/// use std::sync::Arc;
/// use cccm_data::{Loader, LoaderConfig, PairFilter, Shapes, ShapesConfig};
///
/// let config = ShapesConfig { image_px: 16, images_per_pair: 2, seed: 0, pairs: PairFilter::all() };
/// let mut loader = Loader::new(Arc::new(Shapes::new(&config)?), &LoaderConfig::new(50, 7))?;
/// assert_eq!(loader.steps_per_epoch(), 2);
/// let sizes = loader.by_ref().take(3).map(|batch| Ok(batch?.x_0.dim(0)?));
/// assert_eq!(sizes.collect::<cccm_data::Result<Vec<_>>>()?, [50, 22, 50]);
/// # Ok::<(), cccm_data::Error>(())
/// ```
pub struct Loader {
    plan: Plan,
    /// Taken away to end the workers.
    jobs: Option<Sender<Job>>,
    /// Where the batches in flight will arrive, in order.
    in_flight: VecDeque<Receiver<Result<Batch>>>,
    prefetch: usize,
    workers: Vec<JoinHandle<()>>,
    source: Arc<Source>,
}

impl Loader {
    /// A loader that starts with the first batch of epoch 0.
    ///
    /// # Errors
    /// [`Error::InvalidConfig`], [`Error::EmptyDataset`], and [`Error::Spawn`] when the system gives no
    /// more threads.
    pub fn new(dataset: Arc<dyn Dataset>, config: &LoaderConfig) -> Result<Self> {
        Self::starting_at(dataset, config, 0, 0)
    }

    /// A loader that starts with batch number `index_in_epoch` of epoch number `epoch`, both counted from 0:
    /// the next one after those that a run has seen.
    ///
    /// # Errors
    /// As [`Loader::new`], and [`Error::InvalidConfig`] when epochs are shorter than that.
    pub fn starting_at(
        dataset: Arc<dyn Dataset>,
        config: &LoaderConfig,
        epoch: usize,
        index_in_epoch: usize,
    ) -> Result<Self> {
        config.validate()?;
        if dataset.is_empty() {
            return Err(Error::EmptyDataset);
        }
        let plan = Plan::new(&*dataset, config, epoch, index_in_epoch)?;
        let source = Arc::new(Source::new(dataset, config));
        let (jobs, inbox) = mpsc::channel();
        let inbox = Arc::new(Mutex::new(inbox));
        let mut loader = Self {
            plan,
            jobs: Some(jobs),
            in_flight: VecDeque::new(),
            prefetch: config.prefetch,
            workers: Vec::new(),
            source,
        };
        for number in 0..config.workers {
            let (source, inbox) = (Arc::clone(&loader.source), Arc::clone(&inbox));
            let builder = thread::Builder::new().name(format!("cccm-data-{number}"));
            loader.workers.push(builder.spawn(move || source.serve(&inbox)).map_err(Error::Spawn)?);
        }
        loader.order_ahead();
        Ok(loader)
    }

    /// Batches in an epoch: images over batch size, rounded up.
    pub const fn steps_per_epoch(&self) -> usize {
        self.plan.steps_per_epoch()
    }

    /// How many different images could not be decoded so far, those of batches in flight included;
    /// 0 unless [`OnBadImage::Skip`] was asked for.
    pub fn skipped(&self) -> usize {
        self.source.num_bad_images()
    }

    /// Orders batches until enough are in flight.
    fn order_ahead(&mut self) {
        while self.in_flight.len() < self.prefetch {
            let (reply, arrival) = mpsc::channel();
            if let Some(jobs) = &self.jobs {
                // Fails when all workers have died; then `reply` is gone, which `next` reports.
                let _ = jobs.send(self.plan.next_job(reply));
            }
            self.in_flight.push_back(arrival);
        }
    }
}

impl Iterator for Loader {
    type Item = Result<Batch>;

    fn next(&mut self) -> Option<Self::Item> {
        let arrival = self.in_flight.pop_front()?;
        self.order_ahead();
        Some(arrival.recv().unwrap_or(Err(Error::WorkerDied)))
    }
}

impl Drop for Loader {
    fn drop(&mut self) {
        self.source.stop();
        self.jobs = None;
        for worker in self.workers.drain(..) {
            // A panic has already shown itself; a second one while dropping would abort.
            let _ = worker.join();
        }
    }
}

/// Which images the next batch has.
struct Plan {
    sampler: Sampler,
    batch_size: usize,
    shard: Shard,
    epoch: usize,
    index_in_epoch: usize,
    /// The images of the whole epoch.
    order: Vec<usize>,
}

impl Plan {
    fn new(
        dataset: &dyn Dataset,
        config: &LoaderConfig,
        epoch: usize,
        index_in_epoch: usize,
    ) -> Result<Self> {
        let sampler = Sampler::new(dataset, config.sampling, config.seed);
        let order = sampler.epoch(epoch);
        let LoaderConfig { batch_size, shard, .. } = *config;
        let plan = Self { sampler, batch_size, shard, epoch, index_in_epoch, order };
        if index_in_epoch >= plan.steps_per_epoch() {
            return Err(Error::InvalidConfig {
                field: "index_in_epoch",
                got: index_in_epoch.to_string(),
                want: "below the number of batches in an epoch",
            });
        }
        Ok(plan)
    }

    const fn steps_per_epoch(&self) -> usize {
        self.order.len().div_ceil(self.batch_size)
    }

    fn next_job(&mut self, reply: Sender<Result<Batch>>) -> Job {
        if self.index_in_epoch == self.steps_per_epoch() {
            self.epoch += 1;
            self.index_in_epoch = 0;
            self.order = self.sampler.epoch(self.epoch);
        }
        let place = self.index_in_epoch * self.batch_size;
        let rest = &self.order[place..];
        let whole = &rest[..self.batch_size.min(rest.len())];
        let part = self.shard.of(whole.len());
        let job = Job {
            images: whole[part.clone()].to_vec(),
            place: place + part.start,
            start: part.start,
            total: whole.len(),
            epoch: self.epoch,
            index_in_epoch: self.index_in_epoch,
            reply,
        };
        self.index_in_epoch += 1;
        job
    }
}
