//! The checkpoints of a run, in one folder.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use cccm_files::Left;

use super::Checkpoint;
use super::disk::{UNFINISHED, io_error, remove_leftover};
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

    /// The steps that have a checkpoint, whole or damaged, ascending, as the names of the directories say.
    ///
    /// # Errors
    /// [`Error::Io`] when the folder is there but cannot be read.
    pub fn steps(&self) -> Result<Vec<u64>> {
        let names = self.names()?;
        // Sorted by number: from a million steps on, the order of the names is wrong.
        let step = |name: &String| {
            let step = name.strip_prefix(PREFIX)?.parse().ok()?;
            let path = self.path(step);
            // `step-5` has a number, too, but is not a name that we write.
            (path.file_name()? == name.as_str() && !path.is_file()).then_some(step)
        };
        let mut steps: Vec<u64> = names.iter().filter_map(step).collect();
        steps.sort_unstable();
        Ok(steps)
    }

    /// The newest checkpoint that is whole and can be read, if there is one. Others are left alone, each with a warning.
    ///
    /// # Errors
    /// [`Error::Io`] when the folder cannot be read, or when no checkpoint can be read but one might be
    /// whole, for example because it belongs to another user.
    pub fn newest_whole(&self) -> Result<Option<Checkpoint>> {
        let mut unread = None;
        for step in self.steps()?.into_iter().rev() {
            let error = match self.read(step) {
                Ok(checkpoint) => return Ok(Some(checkpoint)),
                Err(error) => error,
            };
            let checkpoint = self.path(step);
            // The cause shows whether a disk fails or a file belongs to somebody else.
            let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}"));
            let cause = cause.unwrap_or_default();
            tracing::warn!(
                checkpoint = %checkpoint.display(), "{error}{cause}; going back to the one before"
            );
            if !matches!(error, Error::DamagedCheckpoint { .. }) {
                unread.get_or_insert(error);
            }
        }
        unread.map_or(Ok(None), Err)
    }

    fn read(&self, step: u64) -> Result<Checkpoint> {
        let path = self.path(step);
        let checkpoint = Checkpoint::read(&path)?;
        match checkpoint.state().step {
            found if found == step => Ok(checkpoint),
            found => Err(Error::DamagedCheckpoint { path, reason: format!("it is the one of step {found}") }),
        }
    }

    /// Removes the oldest checkpoints, so that `limit` (at least 1) remain up to step `newest`, which has
    /// just been written or read. Also removes what killed writes and removals have left.
    ///
    /// Checkpoints later than `newest` are left alone: they are damaged, since the run went back to an
    /// earlier one, and must not count against the whole ones. Files that others put into a checkpoint stay.
    /// So do files that cannot be removed; a warning names them.
    ///
    /// # Errors
    /// [`Error::Io`] when the folder cannot be read.
    pub fn prune(&self, newest: u64, limit: usize) -> Result<()> {
        let mut steps = self.steps()?;
        // Without its list, it is not a checkpoint of ours, or we cannot tell which of its files are ours.
        let is_ours = |step: u64| is_there(&self.path(step).join(Checkpoint::SUMS));
        steps.retain(|step| *step <= newest);
        for step in steps.iter().filter(|step| !is_ours(**step)) {
            // An empty directory is what a killed removal leaves. One that is not empty stays: this fails
            // then.
            let _ = fs::remove_dir(self.path(*step));
        }
        steps.retain(|step| is_ours(*step));
        let surplus = steps.len().saturating_sub(limit.max(1));
        for step in &steps[..surplus] {
            let dir = self.path(*step);
            match Checkpoint::remove(&dir) {
                Ok(Left::Nothing) => {}
                Ok(Left::Others) => tracing::info!("{} stays: somebody put files into it", dir.display()),
                Err(error) => warn_left(&dir, &error),
            }
        }
        for name in self.names()?.into_iter().filter(|name| is_leftover(name)) {
            let dir = self.root.join(name);
            if let Err(error) = remove_leftover(&dir) {
                warn_left(&dir, &error);
            }
        }
        Ok(())
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

/// Whether something is there, as far as can be told.
fn is_there(path: &Path) -> bool {
    use io::ErrorKind::{NotADirectory, NotFound};
    !matches!(path.symlink_metadata(), Err(error) if matches!(error.kind(), NotFound | NotADirectory))
}

fn warn_left(dir: &Path, error: &Error) {
    let cause = std::error::Error::source(error).map(|cause| format!(": {cause}")).unwrap_or_default();
    tracing::warn!("{} stays: {error}{cause}", dir.display());
}

/// Whether this is what [`Checkpoint::write`] leaves when it is killed.
fn is_leftover(name: &str) -> bool {
    let suffix = UNFINISHED.iter().find_map(|suffix| name.strip_suffix(suffix));
    suffix.and_then(|name| name.strip_prefix('.')).is_some_and(|name| name.starts_with(PREFIX))
}
