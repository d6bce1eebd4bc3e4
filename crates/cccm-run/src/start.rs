//! How a run starts: anew, from a file of settings, or where it stopped.

use std::collections::BTreeSet;
use std::path::PathBuf;

use anyhow::Result;
use toml::Table;

use crate::file::{check_together, read};
use crate::kinds::{RECIPE, Settings};
use crate::layers::lay_over;
use crate::resume::{Changes, Part, Resumed};

/// How a run starts. None of it is a setting of the run.
#[derive(Clone, Debug, Default)]
pub struct Start {
    /// A file of settings, below those that are given.
    pub config: Option<PathBuf>,
    /// The run to go on with: its directory, or `latest`.
    pub resume: Option<String>,
    /// What that run may be changed into.
    pub changes: Changes,
    /// Which part this process has in the run.
    pub part: Part,
}

/// All settings with their values, from `given` and the layers below it; and the run to resume, if there is
/// one.
/// - `given`: settings that were typed, or set by a program
///
/// # Errors
/// When a file cannot be read or is not of these settings, and as [`Resumed::open`].
pub fn resolve<S: Settings>(given: Table, start: &Start) -> Result<(S, Option<Resumed>)> {
    check_together(&given)?;
    if let Some(place) = &start.resume {
        let (settings, resumed) = Resumed::open::<S>(place, given, start.changes, start.part)?;
        return Ok((settings.try_into()?, Some(resumed)));
    }
    let user = match &start.config {
        Some(path) => lay_over(under_recipe(read::<S>(path)?, &given, S::of_recipes()?), given),
        None => given,
    };
    Ok((lay_over(S::recipe(&user)?, user).try_into()?, None))
}

/// The settings of a file that remain if the flags name a recipe: all except those that recipes differ in,
/// and except those that these clear.
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

/// The settings of a run that differ from its recipe: those that were typed to start it, or equivalent ones.
///
/// # Errors
/// As [`Settings::recipe`].
pub fn beyond_recipe<S: Settings>(settings: &Table) -> Result<Table> {
    let recipe = S::recipe(settings)?;
    let said = settings.iter().filter(|(name, value)| recipe.get(*name) != Some(*value));
    Ok(said.map(|(name, value)| (name.clone(), value.clone())).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::file::parse;
    use crate::kinds::TrainSettings;

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
        let got = lay_over(TrainSettings::recipe(&switch).unwrap(), switch);
        assert_eq!(got["fuse_schedule"].as_str(), Some("switch"));
        // The script's `--fuse_args 0.2:0.5 0.8:0.1`, whose schedule is `piecewise` where nothing is said.
        let got = resolved(Start::default(), "fuse_args = ['0.2:0.5', '0.8:0.1']");
        assert_eq!(got["fuse_schedule"].as_str(), Some("piecewise"));
    }

    /// What a distillation goes by, once this was typed.
    fn resolved(start: Start, typed: &str) -> Table {
        let (settings, _) = resolve::<TrainSettings>(table(typed), &start).unwrap();
        Table::try_from(settings).unwrap()
    }

    #[test]
    fn a_recipe_among_the_flags_wins_over_a_file() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("run.toml");
        let text = "recipe = 'best'\nmax_steps = 7\nlr = 1.0\nfuse_schedule = 'piecewise'\nfuse_args = ['0:1']\n\
                    data_target = 'guided'\nhat_target = 'mixed'\nfirst_timestep = 799";
        std::fs::write(&file, text).unwrap();
        let start = || Start { config: Some(file.clone()), ..Start::default() };
        let text_of = |settings: &Table, name: &str| settings[name].as_str().unwrap().to_owned();

        let published = resolved(start(), "recipe = 'published'\nhat_target = 'teacher'");
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

        let as_it_is = resolved(start(), "");
        assert_eq!(text_of(&as_it_is, "hat_target"), "mixed");
        assert!(as_it_is.contains_key("fuse_args"));
    }

    #[test]
    fn a_file_is_checked_name_by_name() {
        let refused = |text: &str| format!("{:#}", parse::<TrainSettings>(text).unwrap_err());
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
            assert_eq!(parse::<TrainSettings>(legal).unwrap(), table(legal));
        }
        let whole = "lr = 1e-3\n[run]\ncommand = 'train'\ncccm = '0.1.0'";
        assert_eq!(parse::<TrainSettings>(whole).unwrap(), table("lr = 1e-3"));
    }
}
