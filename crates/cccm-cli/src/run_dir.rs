//! The directory of a run.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::Serialize;

use crate::files::write_atomically;

/// What a run's `config.toml` says besides its settings.
#[derive(Serialize)]
struct Provenance {
    command: &'static str,
    cccm: &'static str,
}

/// A run on disk: `config.toml`, `metrics.jsonl`, `grids/`, `checkpoints/`, `model/`.
pub(crate) struct RunDir {
    root: PathBuf,
}

impl RunDir {
    /// Makes the directory and writes `config.toml`.
    /// - `path`: where; by default `runs/YYYYMMDD-HHMMSS-METHOD`
    pub(crate) fn create(
        path: Option<&Path>,
        method: &str,
        command: &'static str,
        settings: &impl Serialize,
    ) -> Result<Self> {
        let root = match path {
            Some(path) => path.to_owned(),
            None => Path::new("runs")
                .join(format!("{}-{method}", jiff::ZonedDateTime::now().strftime("%Y%m%d-%H%M%S"))),
        };
        let taken = fs::read_dir(&root).is_ok_and(|mut entries| entries.next().is_some());
        if taken {
            bail!("{} exists and is not empty: give another --save-path, or remove it", root.display());
        }
        for dir in ["grids", "checkpoints"] {
            let dir = root.join(dir);
            fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
        }
        let run = Self { root };
        let provenance = Provenance { command, cccm: env!("CARGO_PKG_VERSION") };
        let text = format!("{}\n[run]\n{}", toml::to_string(settings)?, toml::to_string(&provenance)?);
        write_atomically(&run.root.join("config.toml"), text.as_bytes())?;
        run.link_latest();
        Ok(run)
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn metrics(&self) -> PathBuf {
        self.root.join("metrics.jsonl")
    }

    pub(crate) fn grid(&self, step: u64) -> PathBuf {
        self.root.join(format!("grids/step-{step:06}.png"))
    }

    pub(crate) fn checkpoint(&self, step: u64) -> PathBuf {
        self.root.join(format!("checkpoints/step-{step:06}"))
    }

    pub(crate) fn model(&self) -> PathBuf {
        self.root.join("model")
    }

    /// Removes the oldest checkpoints beyond the newest `limit`, which is at least 1.
    pub(crate) fn prune_checkpoints(&self, limit: usize) -> Result<()> {
        let dir = self.root.join("checkpoints");
        let mut steps: Vec<(u64, PathBuf)> = fs::read_dir(&dir)
            .with_context(|| format!("cannot read {}", dir.display()))?
            .filter_map(|entry| {
                let path = entry.ok()?.path();
                let step = path.file_name()?.to_str()?.strip_prefix("step-")?.parse().ok()?;
                Some((step, path))
            })
            .collect();
        // By number: names stop sorting at a million steps.
        steps.sort();
        let surplus = steps.len().saturating_sub(limit.max(1));
        for (_, path) in &steps[..surplus] {
            fs::remove_dir_all(path).with_context(|| format!("cannot remove {}", path.display()))?;
        }
        Ok(())
    }

    /// Points `runs/latest` here. A convenience: a file system without links only costs a message.
    fn link_latest(&self) {
        let (Some(parent), Some(name)) = (self.root.parent(), self.root.file_name()) else { return };
        if parent.file_name().is_none_or(|parent| parent != "runs") {
            return;
        }
        let link = parent.join("latest");
        let fresh = parent.join(format!(".latest-{}", std::process::id()));
        #[cfg(unix)]
        let linked = std::os::unix::fs::symlink(name, &fresh).and_then(|()| fs::rename(&fresh, &link));
        #[cfg(not(unix))]
        let linked =
            fs::write(&fresh, name.to_string_lossy().as_bytes()).and_then(|()| fs::rename(&fresh, &link));
        if let Err(error) = linked {
            tracing::warn!("cannot point {} at this run: {error}", link.display());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_run_is_never_written_over() -> Result<()> {
        let dir = tempfile::tempdir()?;
        let path = dir.path().join("runs/a");
        let settings = toml::Table::from_iter([("seed".to_owned(), 7.into())]);
        let run = RunDir::create(Some(&path), "x", "train", &settings)?;
        let config: toml::Table = fs::read_to_string(path.join("config.toml"))?.parse()?;
        assert_eq!(
            (config["seed"].as_integer(), config["run"]["command"].as_str()),
            (Some(7), Some("train"))
        );
        assert_eq!(fs::canonicalize(dir.path().join("runs/latest"))?, fs::canonicalize(run.root())?);
        let again = RunDir::create(Some(&path), "x", "train", &settings).err().map(|error| error.to_string());
        assert!(again.is_some_and(|text| text.contains("not empty")));
        Ok(())
    }

    #[test]
    fn the_newest_checkpoints_stay() -> Result<()> {
        let dir = tempfile::tempdir()?;
        let run = RunDir::create(Some(dir.path()), "x", "train", &toml::Table::new())?;
        for step in [999_999, 1_000_000, 500] {
            fs::create_dir(run.checkpoint(step))?;
        }
        run.prune_checkpoints(2)?;
        assert!(
            !run.checkpoint(500).exists()
                && run.checkpoint(999_999).exists()
                && run.checkpoint(1_000_000).exists()
        );
        run.prune_checkpoints(0)?;
        assert!(run.checkpoint(1_000_000).exists());
        Ok(())
    }
}
