//! The directory of a run.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use cccm_distill::CheckpointFolder;
use cccm_files::{create_dirs, write_in_place_of};
use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use crate::file::{PROVENANCE, read};
use crate::kinds::Settings;
use crate::metrics::MetricsLock;
use crate::whole::write_atomically;

/// The settings of a run.
pub const CONFIG: &str = "config.toml";
const METRICS: &str = "metrics.jsonl";

/// `config.before-STEP.toml` has the settings of the steps before `STEP`.
const BEFORE_PREFIX: &str = "config.before-";
const BEFORE_SUFFIX: &str = ".toml";

/// What a run's `config.toml` says besides its settings.
#[derive(Serialize, Deserialize)]
struct Provenance {
    command: String,
    cccm: String,
    /// Number of threads. The last bits of every result depend on it.
    threads: usize,
}

/// A run on disk: `config.toml`, `metrics.jsonl`, event files, `grids/`, `checkpoints/`, `model/`.
#[derive(Clone, Debug)]
pub struct RunDir {
    root: PathBuf,
}

impl RunDir {
    /// Creates the directory, locks it for this process, and writes `config.toml`. Returns the run and its
    /// lock.
    /// - `path`: where; by default `runs/YYYYMMDD-HHMMSS-METHOD`
    ///
    /// # Errors
    /// When the directory holds anything or another process takes it, and those of the file system.
    pub fn create(
        path: Option<&Path>,
        method: &str,
        command: &'static str,
        settings: &Table,
    ) -> Result<(Self, MetricsLock)> {
        let root = match path {
            Some(path) => claimable(path)?,
            None => fresh(Path::new("runs"), method)?,
        };
        let run = Self { root };
        // Two processes may have found the directory empty. Only one of them can create this file, so it
        // comes first.
        let lock = MetricsLock::create(&run.metrics())
            .with_context(|| format!("another process has just started a run in {}", run.root.display()))?;
        let provenance = Provenance {
            command: command.to_owned(),
            cccm: env!("CARGO_PKG_VERSION").to_owned(),
            threads: rayon::current_num_threads(),
        };
        for dir in ["grids", "checkpoints"] {
            let dir = run.root.join(dir);
            create_dirs(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
        }
        run.write_config(settings, &provenance)?;
        run.link_latest();
        Ok((run, lock))
    }

    /// The directory of a run that has begun. Its settings may still be missing, as the metrics file is
    /// created first.
    ///
    /// # Errors
    /// When there is no run.
    pub fn begun(root: &Path) -> Result<Self> {
        let is_there = |name: &str| root.join(name).is_file();
        if !is_there(CONFIG) && !is_there(METRICS) {
            bail!("there is no run to go on with in {}: it has no {CONFIG}", root.display());
        }
        // A link such as `runs/latest` may point elsewhere before this run is over.
        let whole = fs::canonicalize(root).with_context(|| format!("cannot find {}", root.display()))?;
        Ok(Self { root: plain(&whole) })
    }

    /// The run's current settings, including the number of threads.
    ///
    /// # Errors
    /// When the file is missing, cannot be read, or is another command's.
    pub fn current_settings<S: Settings>(&self) -> Result<Table> {
        if !self.root.join(CONFIG).is_file() {
            bail!(
                "there is no run to go on with in {}: it has no {CONFIG}; it was stopped before its first step, so that it can \
                 be deleted and started anew",
                self.root.display()
            );
        }
        self.settings::<S>(CONFIG)
    }

    /// The settings in one of the run's files of settings, including the number of threads.
    ///
    /// # Errors
    /// When the file cannot be read or is another command's.
    pub fn settings<S: Settings>(&self, file: &str) -> Result<Table> {
        let path = self.root.join(file);
        let mut settings = read::<S>(&path)?;
        let threads = provenance(&path)?.threads;
        settings.entry("threads").or_insert(Value::Integer(threads as i64));
        Ok(settings)
    }

    /// Writes new settings, and keeps the old ones in a file of their own, as the settings of the first
    /// `steps` steps.
    ///
    /// # Errors
    /// Those of the file system, with the path.
    pub fn replace_config(&self, steps: u64, settings: &Table) -> Result<()> {
        let path = self.root.join(CONFIG);
        let old = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let before = self.root.join(config_before(steps + 1));
        // If settings change twice at one step, no step is trained with the first change: it need not be
        // kept.
        if !before.try_exists().with_context(|| format!("cannot look at {}", before.display()))? {
            write_atomically(&before, &old)?;
        }
        self.write_config(settings, &provenance(&path)?)
    }

    fn write_config(&self, settings: &Table, provenance: &Provenance) -> Result<()> {
        let mut settings = settings.clone();
        // Where the run is, is no setting: read back by --config, it would name a directory that is taken.
        settings.remove("save_path");
        let text =
            format!("{}\n[{PROVENANCE}]\n{}", toml::to_string(&settings)?, toml::to_string(provenance)?);
        write_atomically(&self.root.join(CONFIG), text.as_bytes())
    }

    /// The directory.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// `metrics.jsonl`. The process that trains the run holds its lock.
    pub fn metrics(&self) -> PathBuf {
        self.root.join(METRICS)
    }

    /// The grid that a network drew after a step.
    /// - `network`: which, where it is not the moving average
    pub fn grid(&self, step: u64, network: Option<&str>) -> PathBuf {
        let suffix = network.map(|name| format!("-{name}")).unwrap_or_default();
        self.root.join(format!("grids/step-{step:06}{suffix}.png"))
    }

    /// The folder of the checkpoints.
    pub fn checkpoints(&self) -> CheckpointFolder {
        CheckpointFolder::new(self.root.join("checkpoints"))
    }

    /// The directory of the finished model.
    pub fn model(&self) -> PathBuf {
        self.root.join("model")
    }

    /// The card of the finished model. It is written last: if it exists, the run is finished.
    pub fn model_card(&self) -> PathBuf {
        self.model().join("README.md")
    }

    /// Points `runs/latest` here. A convenience: a file system without links only costs a message.
    pub fn link_latest(&self) {
        let (Some(parent), Some(name)) = (self.root.parent(), self.root.file_name()) else { return };
        if parent.file_name().is_none_or(|parent| parent != "runs") {
            return;
        }
        let link = parent.join("latest");
        let linked = write_in_place_of(&link, |fresh| {
            #[cfg(unix)]
            {
                std::os::unix::fs::symlink(name, fresh)
            }
            #[cfg(not(unix))]
            {
                fs::write(fresh, name.to_string_lossy().as_bytes())
            }
        });
        if let Err(error) = linked {
            tracing::warn!("cannot point {} at this run: {error}", link.display());
        }
    }
}

/// A directory of this name, made if need be; one that holds anything is refused.
fn claimable(path: &Path) -> Result<PathBuf> {
    create_dirs(path).with_context(|| format!("cannot create {}", path.display()))?;
    let mut entries = fs::read_dir(path).with_context(|| format!("cannot list {}", path.display()))?;
    if entries.next().is_some() {
        bail!(
            "{} exists and is not empty: give another --save-path, remove it, or go on with the run in it by --resume",
            path.display()
        );
    }
    Ok(path.to_owned())
}

/// A new directory, named by the time: a second one within the second gets a number.
fn fresh(runs: &Path, method: &str) -> Result<PathBuf> {
    create_dirs(runs).with_context(|| format!("cannot create {}", runs.display()))?;
    let name = format!("{}-{method}", jiff::ZonedDateTime::now().strftime("%Y%m%d-%H%M%S"));
    let mut root = runs.join(&name);
    let mut number = 1;
    loop {
        match fs::create_dir(&root) {
            Ok(()) => return Ok(root),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => number += 1,
            Err(error) => return Err(error).with_context(|| format!("cannot create {}", root.display())),
        }
        root = runs.join(format!("{name}-{number}"));
    }
}

/// How a run came about, by its file of settings.
fn provenance(path: &Path) -> Result<Provenance> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let table: Table = text.parse().with_context(|| format!("{} is damaged", path.display()))?;
    let provenance = table.get(PROVENANCE).cloned();
    let missing = || format!("{} has no table `{PROVENANCE}`, which every run writes", path.display());
    Ok(provenance.with_context(missing)?.try_into()?)
}

/// The file with the settings of the steps before this one, in a run that went on with others.
pub fn config_before(step: u64) -> String {
    format!("{BEFORE_PREFIX}{step:06}{BEFORE_SUFFIX}")
}

/// The steps at which the settings of a run changed, ascending: none for most runs.
///
/// # Errors
/// Those of the file system, with the path.
pub fn steps_of_change(root: &Path) -> Result<Vec<u64>> {
    let list = || -> std::io::Result<Vec<u64>> {
        let mut steps = Vec::new();
        for entry in fs::read_dir(root)? {
            let name = entry?.file_name();
            let step = name.to_str().and_then(|name| name.strip_prefix(BEFORE_PREFIX));
            let step = step.and_then(|step| step.strip_suffix(BEFORE_SUFFIX));
            steps.extend(step.and_then(|step| step.parse::<u64>().ok()));
        }
        steps.sort_unstable();
        Ok(steps)
    };
    list().with_context(|| format!("cannot list {}", root.display()))
}

/// The path as seen from the current folder, if it is below it: shorter in messages.
pub fn plain(path: &Path) -> PathBuf {
    let here = std::env::current_dir().and_then(fs::canonicalize);
    here.ok().and_then(|here| path.strip_prefix(here).ok()).unwrap_or(path).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_run_is_never_written_over() -> Result<()> {
        let dir = tempfile::tempdir()?;
        let path = dir.path().join("runs/a");
        let settings =
            Table::from_iter([("seed".to_owned(), 7.into()), ("save_path".to_owned(), "a".into())]);
        let (run, _lock) = RunDir::create(Some(&path), "x", "train", &settings)?;
        let config: Table = fs::read_to_string(path.join(CONFIG))?.parse()?;
        assert_eq!(
            (config["seed"].as_integer(), config["run"]["command"].as_str()),
            (Some(7), Some("train"))
        );
        assert!(!config.contains_key("save_path"));
        assert_eq!(fs::canonicalize(dir.path().join("runs/latest"))?, fs::canonicalize(run.root())?);
        let again = RunDir::create(Some(&path), "x", "train", &settings).err().map(|error| error.to_string());
        assert!(again.is_some_and(|text| text.contains("not empty")));
        Ok(())
    }

    #[test]
    fn starts_within_a_second_get_a_directory_each() -> Result<()> {
        let dir = tempfile::tempdir()?;
        let roots =
            (0..20).map(|_| fresh(dir.path(), "x")).collect::<Result<std::collections::BTreeSet<_>>>()?;
        assert_eq!(roots.len(), 20);
        Ok(())
    }

    #[test]
    fn of_starts_at_one_place_one_wins_and_its_settings_stay() -> Result<()> {
        let dir = tempfile::tempdir()?;
        let path = dir.path().join("a");
        let started = std::thread::scope(|scope| {
            let starts: Vec<_> = (0..8)
                .map(|seed: i64| {
                    let (settings, path) = (Table::from_iter([("seed".to_owned(), seed.into())]), &path);
                    scope.spawn(move || (seed, RunDir::create(Some(path), "x", "train", &settings).ok()))
                })
                .collect();
            starts.into_iter().map(|start| start.join().unwrap()).collect::<Vec<_>>()
        });
        let won: Vec<i64> = started.iter().filter(|(_, run)| run.is_some()).map(|(seed, _)| *seed).collect();
        let config: Table = fs::read_to_string(path.join(CONFIG))?.parse()?;
        assert_eq!(won, [config["seed"].as_integer().unwrap()]);
        Ok(())
    }

    #[test]
    fn a_run_tells_from_which_steps_on_it_had_other_settings() -> Result<()> {
        let dir = tempfile::tempdir()?;
        let path = dir.path().join("runs/a");
        let (run, _lock) = RunDir::create(Some(&path), "x", "train", &Table::new())?;
        assert!(steps_of_change(&path)?.is_empty());
        for steps in [600, 3] {
            run.replace_config(steps, &Table::new())?;
        }
        assert_eq!(steps_of_change(&path)?, [4, 601]);
        Ok(())
    }
}
