//! Which runs are one model: those that differ in nothing but the seed of their training.

use std::path::Path;

use anyhow::{Result, bail};
use cccm_run::bookkeeping;
use toml::Table;

use crate::found::{Evaluation, Found, Run};

/// The setting in which runs of one model may differ.
const SEED: &str = "seed";

/// One line of figures, and one row of the table for every number of steps.
#[derive(Clone, Debug)]
pub struct Model {
    pub(crate) name: String,
    /// Runs that differ in their seed, or the one folder of scores.
    pub(crate) runs: Vec<Found>,
}

impl Model {
    /// Evaluations of every run.
    pub(crate) fn evaluations(&self) -> impl Iterator<Item = &Evaluation> {
        self.runs.iter().flat_map(|run| &run.evaluations)
    }
}

/// Puts runs together that differ only in their seed, in the order in which they come.
/// - `found`: what the paths hold, each with the name that was given for it
///
/// # Errors
/// When one name would stand for several models.
pub fn models(found: Vec<(Option<String>, Vec<Found>)>) -> Result<Vec<Model>> {
    let mut groups: Vec<(Option<String>, Vec<Found>)> = Vec::new();
    for (name, items) in found {
        let first_of_name = groups.len();
        for item in items {
            let same = |group: &&mut (Option<String>, Vec<Found>)| {
                group.0 == name && group.1.iter().all(|run| differ_in_seed(run, &item))
            };
            match groups.iter_mut().find(same) {
                Some((_, runs)) => runs.push(item),
                None => groups.push((name.clone(), vec![item])),
            }
        }
        if let (Some(name), [(_, first), (_, second), ..]) = (&name, &groups[first_of_name..]) {
            bail!(
                "{name} would be the name of models that differ in more than their seed, those of {} and {}: name each \
                 by NAME=PATH",
                first[0].root.display(),
                second[0].root.display()
            );
        }
    }
    let mut models: Vec<Model> = groups
        .into_iter()
        .map(|(name, runs)| Model { name: name.unwrap_or_else(|| usual_name(&runs)), runs })
        .collect();
    tell_apart(&mut models);
    Ok(models)
}

/// Whether two runs differ only in their seed. Two runs with the same seed and equal settings count as
/// different models: something must have been done to one of them afterwards. A run whose settings changed on
/// the way is always a model of its own.
fn differ_in_seed(one: &Found, other: &Found) -> bool {
    let (Some(one), Some(other)) = (&one.run, &other.run) else { return false };
    let unchanged = one.changes.is_empty() && other.changes.is_empty();
    let alike = one.command == other.command && one.identity() == other.identity();
    unchanged && alike && one.seed() != other.seed()
}

impl Run {
    /// The settings that tell one model from another.
    fn identity(&self) -> Table {
        let mut settings = self.settings.clone();
        for name in bookkeeping().into_iter().chain([SEED]) {
            settings.remove(name);
        }
        settings
    }

    /// The seed of its training.
    pub(crate) fn seed(&self) -> Option<i64> {
        self.settings.get(SEED).and_then(toml::Value::as_integer)
    }
}

/// The name of the folder, or what the names of several begin with.
fn usual_name(runs: &[Found]) -> String {
    let first = own_name(&runs[0]);
    let common = runs[1..].iter().map(own_name).fold(first.clone(), |common, name| {
        let equal = common.chars().zip(name.chars()).take_while(|(one, other)| one == other);
        equal.map(|(character, _)| character).collect()
    });
    if runs.len() == 1 {
        return first;
    }
    let separators = ['-', '_', '.', ' '];
    let trimmed = common.trim_end_matches(separators);
    let without_word = ["seed", "s"]
        .iter()
        .find_map(|word| trimmed.strip_suffix(word).filter(|rest| rest.ends_with(separators)));
    let name = without_word.unwrap_or(trimmed).trim_end_matches(separators);
    if name.is_empty() { first } else { name.to_owned() }
}

/// The name of the run's folder, or if it is no run, of what was judged.
fn own_name(found: &Found) -> String {
    let place = match (&found.run, found.evaluations.first()) {
        (None, Some(evaluation)) => Path::new(&evaluation.record.checkpoint),
        _ => &found.root,
    };
    let place = if found.run.is_some() {
        std::fs::canonicalize(place).unwrap_or(place.to_owned())
    } else {
        place.to_owned()
    };
    place.file_name().map_or_else(|| place.display().to_string(), |name| name.to_string_lossy().into_owned())
}

/// Adds their places to equal names.
fn tell_apart(models: &mut [Model]) {
    let names: Vec<String> = models.iter().map(|model| model.name.clone()).collect();
    for model in models {
        if names.iter().filter(|name| **name == model.name).count() > 1 {
            model.name = format!("{} ({})", model.name, model.runs[0].root.display());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::curve::Curve;

    fn run(root: &str, settings: &str) -> Found {
        let run = Run {
            command: "train".to_owned(),
            threads: Some(2),
            settings: settings.parse().unwrap(),
            changes: vec![],
            curve: Curve::default(),
            labels: vec![],
            searches: std::collections::BTreeMap::default(),
        };
        Found { root: root.into(), run: Some(run), evaluations: vec![] }
    }

    fn grouped(runs: &[Found]) -> Vec<(String, usize)> {
        let all = models(vec![(None, runs.to_vec())]).unwrap();
        all.into_iter().map(|model| (model.name, model.runs.len())).collect()
    }

    #[test]
    fn runs_that_differ_in_their_seed_are_one_model() {
        let runs = [
            run("a/guided_s0", "seed = 0\nlr = 1.0\neval_steps = 5"),
            run("a/plain", "seed = 0\nlr = 2.0"),
            run("a/guided_s1", "seed = 1\nlr = 1.0"),
        ];
        assert_eq!(grouped(&runs), [("guided".to_owned(), 2), ("plain".to_owned(), 1)]);
        let twice = [run("a/x", "seed = 0"), run("a/changed", "seed = 0"), run("a/y", "seed = 1")];
        assert_eq!(grouped(&twice), [("x".to_owned(), 2), ("changed".to_owned(), 1)]);
        let other = [run("a/x", "seed = 0"), run("b/x", "seed = 0\nlr = 1.0")];
        assert_eq!(grouped(&other), [("x (a/x)".to_owned(), 1), ("x (b/x)".to_owned(), 1)]);
    }

    #[test]
    fn a_run_whose_settings_changed_on_the_way_is_a_model_of_its_own() {
        let mut runs = ["0", "1", "2"].map(|seed| run(&format!("a/x-s{seed}"), &format!("seed = {seed}")));
        runs[1].run.as_mut().unwrap().changes = vec![601];
        assert_eq!(grouped(&runs), [("x".to_owned(), 2), ("x-s1".to_owned(), 1)]);
    }

    #[test]
    fn bookkeeping_makes_no_other_model() {
        let runs = [run("a/x-seed0", "seed = 0\neval_samples = 4"), run("a/x-seed1", "seed = 1")];
        assert_eq!(grouped(&runs), [("x".to_owned(), 2)]);
    }

    #[test]
    fn a_name_is_for_one_model() {
        let name = Some("best".to_owned());
        let same = vec![run("r/a", "seed = 0"), run("r/b", "seed = 1")];
        let all = models(vec![(name.clone(), same)]).unwrap();
        assert_eq!((all.len(), all[0].name.as_str(), all[0].runs.len()), (1, "best", 2));
        let differ = vec![run("r/a", "seed = 0"), run("r/b", "seed = 0\nlr = 1.0")];
        let refused = models(vec![(name.clone(), differ)]).unwrap_err().to_string();
        assert!(refused.contains("r/a") && refused.contains("r/b") && refused.contains("best"), "{refused}");
        // Equal settings under two names stay two models.
        let twice = vec![(name, vec![run("a", "seed = 0")]), (Some("b".into()), vec![run("b", "seed = 1")])];
        assert_eq!(models(twice).unwrap().len(), 2);
    }

    #[test]
    fn common_names_lose_what_counts_the_seeds() {
        for (names, want) in [
            (["lossfuse-seed0", "lossfuse-seed1"], "lossfuse"),
            (["guided_s0", "guided_s1"], "guided"),
            (["runs0", "runs1"], "runs"),
            (["a", "b"], "a"),
        ] {
            let runs: Vec<Found> = names.iter().map(|name| run(name, "")).collect();
            assert_eq!(usual_name(&runs), want);
        }
    }
}
