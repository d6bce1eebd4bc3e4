//! Checkpoints written while training goes on.

use std::thread::{self, JoinHandle};

use super::{Checkpoint, CheckpointFolder};
use crate::{Error, Result};

/// Writes checkpoints into a folder from a thread of its own, one at a time, and removes the oldest. Dropping
/// it waits for the checkpoint that is being written.
#[derive(Debug)]
pub struct CheckpointWriter {
    folder: CheckpointFolder,
    limit: usize,
    in_work: Option<JoinHandle<Result<()>>>,
}

impl CheckpointWriter {
    /// A writer into `folder` that keeps the newest `limit` checkpoints, at least 1.
    pub fn new(folder: CheckpointFolder, limit: usize) -> Self {
        Self { folder, limit, in_work: None }
    }

    /// Starts to write a checkpoint, once the one before is written: no more than one lies in memory.
    ///
    /// # Errors
    /// [`Error::Io`] when the one before could not be written, or when there is no thread to be had.
    pub fn write(&mut self, checkpoint: Checkpoint) -> Result<()> {
        self.finish()?;
        let (folder, limit) = (self.folder.clone(), self.limit);
        let job = move || {
            let step = checkpoint.state().step;
            checkpoint.write(&folder.path(step))?;
            // The new one is on the disk: an old one that cannot be removed must not end the run.
            if let Err(error) = folder.prune(step, limit) {
                tracing::warn!("old checkpoints stay: {error}");
            }
            Ok(())
        };
        let spawned = thread::Builder::new().name("cccm-checkpoint".to_owned()).spawn(job);
        let path = self.folder.path(0);
        self.in_work =
            Some(spawned.map_err(|source| Error::Io { action: "start a thread to write", path, source })?);
        Ok(())
    }

    /// Whether the last checkpoint has failed, as far as is known; does not wait.
    ///
    /// # Errors
    /// [`Error::Io`] when it could not be written.
    pub fn check(&mut self) -> Result<()> {
        if self.in_work.as_ref().is_some_and(JoinHandle::is_finished) { self.finish() } else { Ok(()) }
    }

    /// Waits for the checkpoint in work.
    ///
    /// # Errors
    /// [`Error::Io`] when it could not be written.
    pub fn finish(&mut self) -> Result<()> {
        match self.in_work.take().map(JoinHandle::join) {
            None => Ok(()),
            Some(Ok(written)) => written,
            Some(Err(_)) => Err(Error::WriterDied),
        }
    }
}

impl Drop for CheckpointWriter {
    fn drop(&mut self) {
        if let Err(error) = self.finish() {
            tracing::error!("{error}");
        }
    }
}
