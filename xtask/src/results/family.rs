//! Families of models: trained on data of their own or with different pairs held out, for one table.

mod coind;
mod curve;
mod faces;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use coind::Support;

/// Models for one table.
pub(crate) struct Family {
    /// Of its table's folder.
    pub(crate) name: &'static str,
    /// What to know about the table.
    pub(crate) note: String,
    /// Folders of images to be made first.
    pub(crate) exports: Vec<Export>,
    /// Each behind the teacher that it learns from.
    pub(crate) models: Vec<Model>,
    /// Whether all have the same pairs held out, so that `cccm report` can put them side by side.
    pub(crate) is_comparable: bool,
}

/// A folder of images that `cccm dataset export` makes.
pub(crate) struct Export {
    /// Where.
    pub(crate) folder: PathBuf,
    /// What.
    pub(crate) words: Vec<String>,
}

/// One model, trained and scored.
pub(crate) struct Model {
    /// Of the run's directory, to which students add their seed.
    pub(crate) name: String,
    /// Of its rows, beside the number of pairs held out.
    pub(crate) label: &'static str,
    /// How many pairs it has not seen.
    pub(crate) held_out: usize,
    /// The name of its teacher, if it is a student.
    pub(crate) teacher: Option<String>,
    /// What is given to `cccm train` or `train-teacher` beside directory, seed and teacher.
    pub(crate) flags: Vec<String>,
    /// What is given to `cccm eval` beside model, numbers and directory.
    pub(crate) eval_flags: Vec<String>,
    /// Numbers of steps that it is scored at.
    pub(crate) steps: &'static [usize],
}

/// Folders that families are given.
pub(crate) struct Folders<'a> {
    /// Of all runs.
    pub(crate) out: &'a Path,
    /// Of the four MNIST files.
    pub(crate) mnist: Option<&'a Path>,
    /// Of faces by age and gender.
    pub(crate) faces: Option<&'a Path>,
}

/// What makes a family.
pub(crate) type Maker = fn(&Folders<'_>) -> Result<Family>;

/// Names of families, each with what makes it.
pub(crate) const FAMILIES: [(&str, Maker); 6] = [
    ("curve", |_| Ok(curve::family())),
    ("coind-uniform", |folders| coind::family(Support::Uniform, folders)),
    ("coind-non-uniform", |folders| coind::family(Support::NonUniform, folders)),
    ("coind-partial", |folders| coind::family(Support::Partial, folders)),
    ("faces", |folders| faces::family("faces", &[], folders)),
    ("faces-flip", |folders| faces::family("faces-flip", &["--flip"], folders)),
];

/// Sizes for a smoke test, instead of the family's own: it takes minutes.
const SMOKE_TEACHER: &str = "--emb-size 8 --channel-mult 1 2 --num-res-blocks 1 --norm-groups 4";
const SMOKE_TRAINING: &str = "--max-steps 3 --train-batch-size 4 --checkpoint-steps 3 --eval-steps 3";
const SMOKE_EVAL: &str = "--classifier-steps 2 --real-samples 2";
const SMOKE_TEACHER_STEPS: &[usize] = &[2];

impl Family {
    /// The same with tiny networks and three steps of each, whose scores mean nothing.
    pub(crate) fn smoke(mut self) -> Self {
        for model in &mut self.models {
            if model.teacher.is_none() {
                model.flags.extend(words(SMOKE_TEACHER));
                model.steps = SMOKE_TEACHER_STEPS;
            }
            model.flags.extend(words(SMOKE_TRAINING));
            model.eval_flags.extend(words(SMOKE_EVAL));
        }
        self.note = format!("Three steps of each, to see that it runs: no result. {}", self.note);
        self
    }
}

impl Model {
    /// The run's directory, in that of all runs.
    pub(crate) fn run_name(&self, seed: u64) -> String {
        if self.teacher.is_some() { format!("{}-seed{seed}", self.name) } else { self.name.clone() }
    }
}

/// A folder that a flag has to name.
fn required<'a>(folder: Option<&'a Path>, family: &str, flag: &str) -> Result<&'a Path> {
    folder.with_context(|| format!("`{family}` needs {flag}"))
}

/// Words of flags, as they are given to a command.
fn words(flags: &str) -> Vec<String> {
    flags.split_whitespace().map(str::to_owned).collect()
}

/// The same, with a path that may have blanks behind the first.
fn with_path(flag: &str, path: &Path, flags: &str) -> Vec<String> {
    let mut all = vec![flag.to_owned(), path.to_string_lossy().into_owned()];
    all.extend(words(flags));
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn families() -> Vec<Family> {
        let [out, mnist, faces] = ["out", "my mnist", "my faces"].map(Path::new);
        let folders = Folders { out, mnist: Some(mnist), faces: Some(faces) };
        FAMILIES.iter().map(|(_, make)| make(&folders).unwrap()).collect()
    }

    #[test]
    fn runs_have_names_of_their_own_and_teachers_come_first() {
        let mut all = BTreeSet::new();
        for (family, (name, _)) in families().iter().zip(FAMILIES) {
            assert_eq!(family.name, name);
            let mut teachers = BTreeSet::new();
            for model in &family.models {
                assert!(all.insert(model.name.clone()), "{} twice", model.name);
                match &model.teacher {
                    Some(teacher) => assert!(teachers.contains(teacher), "{}", model.name),
                    None => drop(teachers.insert(model.name.clone())),
                }
            }
            assert!(!teachers.is_empty());
            let labels: BTreeSet<_> =
                family.models.iter().map(|model| (model.held_out, model.label)).collect();
            assert_eq!(labels.len(), family.models.len(), "{name}: two rows look the same");
            let kinds: BTreeSet<_> = family.models.iter().map(|model| model.held_out).collect();
            assert_eq!(family.is_comparable, kinds.len() == 1);
        }
    }

    #[test]
    fn a_family_without_its_folder_is_refused() {
        let folders = Folders { out: Path::new("out"), mnist: None, faces: None };
        let refused = |index: usize| FAMILIES[index].1(&folders).err().map(|error| error.to_string());
        assert_eq!(refused(0), None);
        assert!(refused(1).unwrap().contains("`coind-uniform` needs --mnist DIR"));
        assert!(refused(5).unwrap().contains("`faces-flip` needs --faces DIR"));
    }

    #[test]
    fn paths_with_blanks_stay_one_word() {
        for family in families().iter().filter(|family| family.name.starts_with("faces")) {
            for model in &family.models {
                let at = model.flags.iter().position(|word| word == "--data").unwrap();
                assert_eq!(model.flags[at + 1], "my faces");
            }
        }
    }
}
