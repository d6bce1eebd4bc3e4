//! Settings in layers: flags over a file over a recipe, each a table of what it says and nothing else.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde::Serialize;
use serde::de::DeserializeOwned;
use toml::{Table, Value};

use crate::args::LaunchArgs;
use crate::resume::Resumed;

/// Table of `config.toml` that says how the run came about, beside the settings.
pub(crate) const PROVENANCE: &str = "run";

/// Whoever speaks of the first silences what a lower layer says of the second.
const SILENCES: [(&str, &str); 11] = [
    ("device", "devices"),
    ("devices", "device"),
    ("epochs", "max_steps"),
    ("max_steps", "epochs"),
    ("checkpoint_interval", "checkpoint_steps"),
    ("checkpoint_steps", "checkpoint_interval"),
    ("eval_interval", "eval_steps"),
    ("eval_steps", "eval_interval"),
    ("fuse_schedule", "fuse_args"),
    ("preset", "attributes"),
    ("preset", "objects"),
];

/// The settings of a training command, as typed: every one optional, named as in `config.toml`.
pub(crate) trait Settings: clap::Args + Serialize + DeserializeOwned {
    /// The command.
    const COMMAND: &'static str;

    /// How the run is to start.
    fn launch(&self) -> &LaunchArgs;

    /// The recipe below what the user says.
    fn recipe(user: &Table) -> Result<Table>;

    /// Everything that has a value, by the layers below the flags; and the run to go on with.
    fn resolve(self) -> Result<(Self, Option<Resumed>)> {
        let flags = Table::try_from(&self)?;
        let launch = self.launch();
        if let Some(place) = &launch.resume {
            let (settings, resumed) = Resumed::open::<Self>(place, flags, launch)?;
            return Ok((settings.try_into()?, Some(resumed)));
        }
        let user = match &launch.config {
            Some(path) => lay_over(read::<Self>(path)?, flags),
            None => flags,
        };
        Ok((lay_over(Self::recipe(&user)?, user).try_into()?, None))
    }
}

/// `over` where it says something, else `base`.
pub(crate) fn lay_over(mut base: Table, over: Table) -> Table {
    for (speaks, silent) in SILENCES {
        if over.contains_key(speaks) {
            base.remove(silent);
        }
    }
    base.extend(over);
    base
}

/// Those of a run's settings that its recipe does not say: what was typed to start it, or as good as that.
pub(crate) fn beyond_recipe<S: Settings>(settings: &Table) -> Result<Table> {
    let recipe = S::recipe(settings)?;
    let said = settings.iter().filter(|(name, value)| recipe.get(*name) != Some(*value));
    Ok(said.map(|(name, value)| (name.clone(), value.clone())).collect())
}

/// The settings of a file, checked to be some of this command's.
pub(crate) fn read<S: Settings>(path: &Path) -> Result<Table> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    parse::<S>(&text).with_context(|| format!("cannot use the settings in {}", path.display()))
}

fn parse<S: Settings>(text: &str) -> Result<Table> {
    let mut table: Table = text.parse()?;
    if let Some(Value::Table(provenance)) = table.remove(PROVENANCE) {
        match provenance.get("command").and_then(Value::as_str) {
            Some(command) if command != S::COMMAND => {
                bail!("they are those of `cccm {command}`, but this is `cccm {}`", S::COMMAND)
            }
            _ => {}
        }
    }
    let known = names::<S>();
    if let Some(name) = table.keys().find(|name| !known.contains(*name)) {
        let similarity = |known: &&String| (strsim::jaro_winkler(name, known) * 1000.0) as u32;
        let nearest = known.iter().max_by_key(similarity).map(|near| format!("; did you mean `{near}`?"));
        bail!("`cccm {}` has no setting `{name}`{}", S::COMMAND, nearest.unwrap_or_default());
    }
    for (name, value) in &table {
        // One by one: flattened structs do not say which of their fields has the wrong type.
        let alone = Table::from_iter([(name.clone(), value.clone())]);
        let _: S = alone.try_into().with_context(|| format!("`{name}` cannot be {value}"))?;
    }
    Ok(table)
}

/// Every setting there is: the flags, but for those that say how to start.
fn names<S: Settings>() -> BTreeSet<String> {
    let ids = |command: clap::Command| -> BTreeSet<String> {
        command.get_arguments().map(|arg| arg.get_id().to_string()).collect()
    };
    let start = ids(<LaunchArgs as clap::Args>::augment_args(clap::Command::new("")));
    ids(S::augment_args(clap::Command::new(""))).difference(&start).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::train::TrainArgs;

    fn table(text: &str) -> Table {
        text.parse().unwrap()
    }

    #[test]
    fn a_higher_layer_wins_and_silences_rivals() {
        let base = table("epochs = 60\nlr = 1.0\nfuse_schedule = 'piecewise'\nfuse_args = ['1:0']");
        let got = lay_over(base, table("max_steps = 5\nlr = 2.0\nfuse_schedule = 'only_ode'"));
        assert_eq!(got, table("max_steps = 5\nlr = 2.0\nfuse_schedule = 'only_ode'"));
        let base = table("attributes = ['a']\nobjects = ['b']");
        assert_eq!(lay_over(base, table("preset = 'celeba'")), table("preset = 'celeba'"));
    }

    #[test]
    fn a_file_is_checked_name_by_name() {
        let refused = |text: &str| format!("{:#}", parse::<TrainArgs>(text).unwrap_err());
        assert!(refused("max_step = 5").contains("did you mean `max_steps`"));
        assert!(refused("lr = 'fast'").contains("lr"));
        assert!(refused("resume = 'latest'").contains("no setting `resume`"));
        assert!(refused("[run]\ncommand = 'train-teacher'").contains("cccm train-teacher"));
        let whole = "lr = 1e-3\n[run]\ncommand = 'train'\ncccm = '0.1.0'";
        assert_eq!(parse::<TrainArgs>(whole).unwrap(), table("lr = 1e-3"));
    }
}
