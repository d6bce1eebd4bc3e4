//! Batches, decoded by threads before they are needed, in an order that depends on the seed alone.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex,
        mpsc::{self, Receiver, Sender},
    },
    thread::{self, JoinHandle},
};

use crate::{
    Batch, Dataset, Error, LoaderConfig, Result, Shard,
    sampling::Sampler,
    worker::{Job, Source},
};

/// An endless iterator over the batches of one epoch after the other.
///
/// Which images a batch holds, and which of them are mirrored, depends on the dataset, the seed, the epoch and the place
/// in it; neither threads nor the start position matter, so that a resumed run sees what an uninterrupted one
/// would have seen. After an error the iterator goes on with the next batch. Dropping the loader ends its
/// threads, each after the image it is at.
///
/// ```
/// use std::sync::Arc;
/// use cccm_data::{Loader, LoaderConfig, CombinationFilter, Shapes, ShapesConfig};
///
/// let config = ShapesConfig { image_px: 16, images_per_combination: 2, seed: 0, sized: false, combinations: CombinationFilter::all() };
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
    /// 0 unless [`OnBadImage::Skip`](crate::OnBadImage::Skip) was asked for.
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
