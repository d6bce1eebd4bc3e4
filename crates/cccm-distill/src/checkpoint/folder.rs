//! The checkpoints of a run, in one folder.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::Checkpoint;
use super::disk::{io_error, remove_dir};
use crate::{Error, Result};

/// What the names of checkpoints start with; the step follows.
const PREFIX: &str = "step-";

/// A folder of checkpoints named `step-000500`, which one run writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckpointFolder {
    root: PathBuf,
}

impl CheckpointFolder {
    /// The folder at `root`; it need not exist yet.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Where the checkpoint after `step` steps lies, or would lie.
    pub fn path(&self, step: u64) -> PathBuf {
        self.root.join(format!("{PREFIX}{step:06}"))
    }

    /// The steps that there is a checkpoint of, whole or damaged, in rising order.
    ///
    /// # Errors
    /// [`Error::Io`] when the folder is there but cannot be read.
    pub fn steps(&self) -> Result<Vec<u64>> {
        let names = self.names()?;
        // By number: names stop sorting at a million steps.
        let mut steps: Vec<u64> =
            names.iter().filter_map(|name| name.strip_prefix(PREFIX)?.parse().ok()).collect();
        steps.sort_unstable();
        Ok(steps)
    }

    /// The newest checkpoint that is whole, if there is one. Those that are damaged are left alone, each with a
    /// warning.
    ///
    /// # Errors
    /// [`Error::Io`] when the folder or a checkpoint is there but cannot be read.
    pub fn newest_whole(&self) -> Result<Option<Checkpoint>> {
        for step in self.steps()?.into_iter().rev() {
            match self.read(step) {
                Ok(checkpoint) => return Ok(Some(checkpoint)),
                Err(error @ Error::DamagedCheckpoint { .. }) => {
                    let checkpoint = self.path(step);
                    tracing::warn!(checkpoint = %checkpoint.display(), "{error}; going back to the one before");
                }
                // Of another user, say: nothing tells that it is not whole.
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    fn read(&self, step: u64) -> Result<Checkpoint> {
        let path = self.path(step);
        let checkpoint = Checkpoint::read(&path)?;
        match checkpoint.state().step {
            found if found == step => Ok(checkpoint),
            found => Err(Error::DamagedCheckpoint { path, reason: format!("it is the one of step {found}") }),
        }
    }

    /// Removes the oldest checkpoints, so that `limit` (at least 1) remain up to step `newest`, which has just been
    /// written, and what killed writes have left. Later ones are left alone: they are damaged ones that the run went
    /// back behind, and must not push out the whole ones.
    ///
    /// # Errors
    /// [`Error::Io`] when one cannot be removed.
    pub fn prune(&self, newest: u64, limit: usize) -> Result<()> {
        let mut steps = self.steps()?;
        steps.retain(|step| *step <= newest);
        let surplus = steps.len().saturating_sub(limit.max(1));
        let old = steps[..surplus].iter().map(|step| self.path(*step));
        let leftovers =
            self.names()?.into_iter().filter(|name| is_leftover(name)).map(|name| self.root.join(name));
        old.chain(leftovers).try_for_each(|dir| remove_dir(&dir))
    }

    fn names(&self) -> Result<Vec<String>> {
        let entries = match fs::read_dir(&self.root) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(io_error("read", &self.root))?,
        };
        let names = entries.map(|entry| Ok(entry.map_err(io_error("read", &self.root))?.file_name()));
        let names = names.collect::<Result<Vec<_>>>()?;
        Ok(names.into_iter().filter_map(|name| name.into_string().ok()).collect())
    }
}

/// Whether this is what [`Checkpoint::write`] leaves when it is killed.
fn is_leftover(name: &str) -> bool {
    let suffix = [".partial", ".replaced"].iter().find_map(|suffix| name.strip_suffix(suffix));
    suffix.and_then(|name| name.strip_prefix('.')).is_some_and(|name| name.starts_with(PREFIX))
}
