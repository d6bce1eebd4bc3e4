//! Going on with a run that was stopped: its settings, and what may change about them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context, Result, bail};
use cccm_distill::TrainState;
use toml::{Table, Value};

use crate::dir::{CONFIG, RunDir, config_before, steps_of_change};
use crate::kinds::{RECIPE, Settings};
use crate::layers::{bookkeeping, lay_over, places};
use crate::metrics::MetricsLock;

/// What the digest of the settings is called in a checkpoint.
pub const SETTINGS: &str = "settings";

/// Which changes a resumed run accepts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Changes {
    /// Nothing that would make it another run.
    #[default]
    Harmless,
    /// Anything.
    Any,
}

/// Which part a process has in a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Part {
    /// It holds the run, and writes all that there is to write.
    #[default]
    Leads,
    /// It computes with the one that leads, and writes nothing.
    Helps,
}

/// A run to go on with.
pub struct Resumed {
    /// Its directory.
    pub run: RunDir,
    /// What the flags change, as `name: old → new`.
    changes: Vec<String>,
    allowed: Changes,
    /// What holds the run, of the process that writes.
    lock: Option<MetricsLock>,
    /// Digests of the settings that the run has had, each with the last step that was trained with them.
    history: Vec<(u64, String)>,
}

impl Resumed {
    /// Opens the run at a directory, or `runs/latest`; gives its settings with the flags laid over.
    ///
    /// # Errors
    /// When there is no run, another process has it, or it would become another run without that being allowed.
    pub fn open<S: Settings>(
        place: &str,
        given: Table,
        allowed: Changes,
        part: Part,
    ) -> Result<(Table, Self)> {
        let root = if place == "latest" { Path::new("runs/latest") } else { Path::new(place) };
        let run = RunDir::begun(root)?;
        // Lock first, as another process could change what is read from here on. This fails if one trains the
        // run.
        let lock = (part == Part::Leads).then(|| MetricsLock::open(&run.metrics())).transpose()?;
        let recorded = run.current_settings::<S>()?;
        check_recipe_stays(&recorded, &given, &S::of_recipes()?)?;
        let settings = lay_over(recorded.clone(), given);
        let names: BTreeSet<&String> = recorded.keys().chain(settings.keys()).collect();
        let changed = names.into_iter().filter(|name| recorded.get(*name) != settings.get(*name));
        let harmless = harmless();
        let (mut changes, mut breaking) = (Vec::new(), Vec::new());
        for name in changed {
            let shown = |table: &Table| table.get(name).map_or_else(|| "unset".to_owned(), Value::to_string);
            let change = format!("{name}: {} → {}", shown(&recorded), shown(&settings));
            if !harmless.contains(name.as_str()) {
                breaking.push(change.clone());
            }
            changes.push(change);
        }
        if !breaking.is_empty() && allowed == Changes::Harmless {
            bail!(
                "{} would not go on as the same run: {}; leave these flags out, or accept the change with --allow-change",
                run.root().display(),
                breaking.join(", ")
            );
        }
        let mut history = Vec::new();
        for step in steps_of_change(run.root())? {
            history.push((step - 1, digest_of(&run.settings::<S>(&config_before(step))?)?));
        }
        history.push((u64::MAX, digest_of(&recorded)?));
        Ok((settings, Self { run, changes, allowed, lock, history }))
    }

    /// The run and its lock.
    ///
    /// # Errors
    /// In a process that only helps.
    pub fn into_run(self) -> Result<(RunDir, MetricsLock)> {
        Ok((self.run, self.lock.context("a run is written to by the first process alone")?))
    }

    /// Refuses a checkpoint whose steps were made with other settings than the run's files say.
    fn check_settings(&self, state: &TrainState) -> Result<()> {
        // Older checkpoints have no such digest.
        let Some(want) = state.digests.get(SETTINGS) else { return Ok(()) };
        let recorded = self.history.iter().find(|(last, _)| state.step <= *last);
        if recorded.is_none_or(|(_, digest)| digest == want) {
            return Ok(());
        }
        let root = self.run.root().display();
        if self.allowed == Changes::Harmless {
            bail!(
                "the settings in {root} are not those of its checkpoint of step {} (by digest): {CONFIG} was replaced or \
                 changed by hand; restore it, or accept the change with --allow-change",
                state.step
            );
        }
        tracing::warn!("the settings in {root} are not those of its checkpoint of step {}", state.step);
        Ok(())
    }

    /// Refuses a checkpoint that was made from other data or another teacher, unless that was allowed.
    ///
    /// # Errors
    /// When they differ, and that was not allowed.
    pub fn check_digests(&self, state: &TrainState, digests: &BTreeMap<String, String>) -> Result<()> {
        self.check_settings(state)?;
        let names: BTreeSet<&String> = state.digests.keys().chain(digests.keys()).collect();
        let names = names.into_iter().filter(|name| *name != SETTINGS);
        let differing = names.filter(|name| state.digests.get(*name) != digests.get(*name));
        let differing: Vec<&str> = differing.map(String::as_str).collect();
        if differing.is_empty() {
            return Ok(());
        }
        let what = differing.join(" and ");
        if self.allowed == Changes::Harmless {
            bail!(
                "the {what} of {} changed since step {} (by digest), so the run would not go on as the same one; \
                 restore it, or accept the change with --allow-change",
                self.run.root().display(),
                state.step
            );
        }
        tracing::warn!("the {what} changed since step {}", state.step);
        Ok(())
    }

    /// Says what changes, and records it: `config.toml` has the settings of the steps to come, `config.before-000500.toml`
    /// those of the first 500.
    ///
    /// # Errors
    /// Those of the file system, with the path.
    pub fn record(&self, step: u64, settings: &Table) -> Result<()> {
        if self.changes.is_empty() {
            return Ok(());
        }
        tracing::warn!("settings change from step {} on: {}", step + 1, self.changes.join(", "));
        self.run.replace_config(step, settings).context("cannot record the changed settings")
    }
}

/// Settings that may differ in one run.
fn harmless() -> BTreeSet<&'static str> {
    bookkeeping().union(&places()).copied().collect()
}

/// SHA-256 in hex of all settings that decide the weights: the seed, the number of threads and all others
/// that are not bookkeeping. Data and teacher have digests of their own.
///
/// # Errors
/// When the settings cannot be written as TOML.
pub fn digest_of(settings: &Table) -> Result<String> {
    let mut settings = settings.clone();
    let harmless = harmless();
    settings.retain(|name, _| !harmless.contains(name));
    // A run's own file has the number of threads even if it was not given. It is only asked for if it is
    // missing, since asking starts the thread pool.
    settings.entry("threads").or_insert_with(|| Value::Integer(rayon::current_num_threads() as i64));
    Ok(cccm_files::sha256(toml::to_string(&settings)?.as_bytes()))
}

/// Refuses another recipe: all that it decides stands in the settings of the run already.
/// - `of_recipes`: the settings that recipes differ in
fn check_recipe_stays(recorded: &Table, flags: &Table, of_recipes: &Table) -> Result<()> {
    let Some(asked) = flags.get(RECIPE).filter(|asked| recorded.get(RECIPE) != Some(*asked)) else {
        return Ok(());
    };
    let instead: Vec<String> =
        of_recipes.keys().map(|name| format!("--{}", name.replace('_', "-"))).collect();
    bail!(
        "--{RECIPE} {} has no effect on a resumed run, which keeps its settings: leave it out, or change single \
         settings with --allow-change and their own flags, {}",
        asked.as_str().unwrap_or_default(),
        instead.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinds::TrainSettings;

    #[test]
    fn a_run_that_goes_on_takes_no_other_recipe() {
        let check = |recorded: &str, flags: &str| {
            let [recorded, flags] = [recorded, flags].map(|text| text.parse::<Table>().unwrap());
            check_recipe_stays(&recorded, &flags, &TrainSettings::of_recipes().unwrap())
        };
        for recorded in ["", "recipe = 'published'"] {
            let refused = check(recorded, "recipe = 'best'").unwrap_err().to_string();
            assert!(refused.contains("--recipe best") && refused.contains("--data-target"), "{refused}");
        }
        check("recipe = 'best'", "recipe = 'best'").unwrap();
        check("recipe = 'best'", "lr = 1.0").unwrap();
    }
}
