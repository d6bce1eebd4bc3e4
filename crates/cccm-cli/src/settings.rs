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

/// Whoever speaks of the first silences what a lower layer says of the second. Two that silence each other are never said in
/// one layer.
const SILENCES: [(&str, &str); 13] = [
    ("device", "devices"),
    ("devices", "device"),
    ("epochs", "max_steps"),
    ("max_steps", "epochs"),
    ("checkpoint_interval", "checkpoint_steps"),
    ("checkpoint_steps", "checkpoint_interval"),
    ("eval_interval", "eval_steps"),
    ("eval_steps", "eval_interval"),
    (FUSE_SCHEDULE, FUSE_ARGS),
    ("preset", "attributes"),
    ("preset", "objects"),
    ("attributes", "preset"),
    ("objects", "preset"),
];

const FUSE_ARGS: &str = "fuse_args";
const FUSE_SCHEDULE: &str = "fuse_schedule";
/// The setting that names a recipe.
pub(crate) const RECIPE: &str = "recipe";

/// The settings of a training command, as typed: every one optional, named as in `config.toml`.
pub(crate) trait Settings: clap::Args + Serialize + DeserializeOwned {
    /// The command.
    const COMMAND: &'static str;

    /// How the run is to start.
    fn launch(&self) -> &LaunchArgs;

    /// The recipe below what the user says.
    fn recipe(user: &Table) -> Result<Table>;

    /// The settings that recipes by name differ in: where flags name one, it decides these, whatever a file says.
    fn of_recipes() -> Result<Table> {
        Ok(Table::new())
    }

    /// Everything that has a value, by the layers below the flags; and the run to go on with.
    fn resolve(self) -> Result<(Self, Option<Resumed>)> {
        let flags = Table::try_from(&self)?;
        let launch = self.launch();
        if let Some(place) = &launch.resume {
            let (settings, resumed) = Resumed::open::<Self>(place, flags, launch)?;
            return Ok((settings.try_into()?, Some(resumed)));
        }
        let user = match &launch.config {
            Some(path) => lay_over(under_recipe(read::<Self>(path)?, &flags, Self::of_recipes()?), flags),
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
    if over.contains_key(FUSE_ARGS)
        && let Some(Value::String(schedule)) = base.get_mut(FUSE_SCHEDULE)
    {
        // Numbers take the place of those below, which may stand behind the name.
        *schedule = schedule.split_whitespace().next().unwrap_or_default().to_owned();
    }
    base.extend(over);
    base
}

/// What of a file stays where the flags name a recipe: all but what recipes differ in, and what that silences.
/// - `of_recipes`: the settings that recipes differ in
fn under_recipe(file: Table, flags: &Table, of_recipes: Table) -> Table {
    if !flags.contains_key(RECIPE) {
        return file;
    }
    let names: BTreeSet<String> = of_recipes.keys().cloned().collect();
    let mut rest = lay_over(file, of_recipes);
    rest.retain(|name, _| !names.contains(name));
    rest
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
    check_together(&table)?;
    Ok(table)
}

/// Refuses what is refused of flags, too: settings that exclude each other, and half of what goes together.
fn check_together(table: &Table) -> Result<()> {
    let says = |name: &str| table.contains_key(name);
    let rivals = SILENCES
        .into_iter()
        .find(|(one, other)| says(one) && says(other) && SILENCES.contains(&(*other, *one)));
    if let Some((one, other)) = rivals {
        bail!("`{one}` and `{other}` exclude each other: leave one of them out");
    }
    if says("attributes") != says("objects") {
        bail!("`attributes` and `objects` need each other: add the one that is missing");
    }
    Ok(())
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
        assert_eq!(lay_over(base.clone(), table("preset = 'celeba'")), table("preset = 'celeba'"));
        assert_eq!(lay_over(table("preset = 'celeba'"), base.clone()), base);
    }

    #[test]
    fn numbers_of_a_schedule_go_behind_the_name_below() {
        let got = lay_over(
            table("fuse_schedule = 'piecewise 1:0'\nfuse_args = ['0:1']"),
            table("fuse_args = ['0.2:0.5', '0.8:0.1']"),
        );
        assert_eq!(got, table("fuse_schedule = 'piecewise'\nfuse_args = ['0.2:0.5', '0.8:0.1']"));
        let switch = table("fuse_method = 'switch'\nfuse_args = ['0.7']");
        let got = lay_over(TrainArgs::recipe(&switch).unwrap(), switch);
        assert_eq!(got["fuse_schedule"].as_str(), Some("switch"));
        // The script's `--fuse_args 0.2:0.5 0.8:0.1`, whose schedule is `piecewise` where nothing is said.
        let got = resolved(&["--fuse-args", "0.2:0.5", "0.8:0.1"]);
        assert_eq!(got["fuse_schedule"].as_str(), Some("piecewise"));
    }

    /// What `cccm train` goes by, once these flags were typed.
    fn resolved(flags: &[&str]) -> Table {
        let command = <TrainArgs as clap::Args>::augment_args(clap::Command::new("train"));
        let matches = command.try_get_matches_from([&["train"], flags].concat()).unwrap();
        let args = <TrainArgs as clap::FromArgMatches>::from_arg_matches(&matches).unwrap();
        Table::try_from(args.resolve().unwrap().0).unwrap()
    }

    #[test]
    fn a_recipe_among_the_flags_wins_over_a_file() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("run.toml");
        let text = "recipe = 'best'\nmax_steps = 7\nlr = 1.0\nfuse_schedule = 'piecewise'\nfuse_args = ['0:1']\n\
                    data_target = 'guided'\nhat_target = 'mixed'\nfirst_timestep = 799";
        std::fs::write(&file, text).unwrap();
        let file = file.to_str().unwrap();
        let text_of = |settings: &Table, name: &str| settings[name].as_str().unwrap().to_owned();

        let published = resolved(&["--config", file, "--recipe", "published", "--hat-target", "teacher"]);
        for (name, want) in [
            ("recipe", "published"),
            ("fuse_schedule", "piecewise 1:0"),
            ("data_target", "published"),
            ("hat_target", "teacher"),
        ] {
            assert_eq!(text_of(&published, name), want, "{name}");
        }
        assert!(!published.contains_key("fuse_args") && !published.contains_key("first_timestep"));
        // What recipes do not differ in stays as the file has it.
        assert_eq!((published["max_steps"].as_integer(), published["lr"].as_float()), (Some(7), Some(1.0)));

        let as_it_is = resolved(&["--config", file]);
        assert_eq!(text_of(&as_it_is, "hat_target"), "mixed");
        assert!(as_it_is.contains_key("fuse_args"));
    }

    #[test]
    fn a_file_is_checked_name_by_name() {
        let refused = |text: &str| format!("{:#}", parse::<TrainArgs>(text).unwrap_err());
        assert!(refused("max_step = 5").contains("did you mean `max_steps`"));
        assert!(refused("lr = 'fast'").contains("lr"));
        assert!(refused("resume = 'latest'").contains("no setting `resume`"));
        assert!(refused("[run]\ncommand = 'train-teacher'").contains("cccm train-teacher"));
        for (text, names) in [
            ("epochs = 2\nmax_steps = 5", ["`epochs`", "`max_steps`"]),
            ("eval_steps = 2\neval_interval = 5", ["`eval_steps`", "`eval_interval`"]),
            ("device = 'cpu'\ndevices = ['cpu', 'cpu']", ["`device`", "`devices`"]),
            ("preset = 'celeba'\nattributes = ['a']\nobjects = ['b']", ["`preset`", "`attributes`"]),
            ("attributes = ['a']", ["`attributes`", "`objects`"]),
            ("objects = ['b']", ["`attributes`", "`objects`"]),
        ] {
            let said = refused(text);
            assert!(names.iter().all(|name| said.contains(name)), "{text}: {said}");
        }
        for legal in
            ["fuse_schedule = 'piecewise'\nfuse_args = ['1:0']", "attributes = ['a']\nobjects = ['b']"]
        {
            assert_eq!(parse::<TrainArgs>(legal).unwrap(), table(legal));
        }
        let whole = "lr = 1e-3\n[run]\ncommand = 'train'\ncccm = '0.1.0'";
        assert_eq!(parse::<TrainArgs>(whole).unwrap(), table("lr = 1e-3"));
    }
}
