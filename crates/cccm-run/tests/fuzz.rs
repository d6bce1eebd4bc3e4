//! Files of a run that somebody else may have written, or half written: whatever is in them, reading them neither panics nor
//! hangs.

#![cfg(test)]

use std::fs;
use std::path::{Path, PathBuf};

use cccm_run::{LastEval, MetricsLock, Settings, TrainSettings, TrainTeacherSettings, lay_over, read};
use cccm_tests::fuzz_texts;
use toml::Table;

/// A file to be read, in memory where the system has such a folder.
struct Bench {
    _dir: tempfile::TempDir,
    path: PathBuf,
}

impl Bench {
    fn new(name: &str) -> Self {
        let memory = Path::new("/dev/shm");
        let dir = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap();
        let path = dir.path().join(name);
        Self { _dir: dir, path }
    }
}

/// The first words of an error's last cause, without quoted names and numbers.
fn outline(error: &anyhow::Error) -> String {
    const WORDS: usize = 7;
    let text = error.root_cause().to_string();
    let unquoted: String = text.split('`').step_by(2).collect();
    let letters = unquoted.chars().filter(|c| c.is_ascii_alphabetic() || *c == ' ').collect::<String>();
    letters.split_whitespace().take(WORDS).collect::<Vec<_>>().join(" ")
}

#[test]
fn metrics() {
    let bench = Bench::new("metrics.jsonl");
    let lines = "{\"step\":1,\"loss\":0.5,\"c_t\":null}\n{\"step\":2,\"loss\":null,\"c_t\":0.1}\n\
                 {\"step\":2,\"eval\":{\"frechet\":1.5}}\n{\"step\":3,\"loss\":0.25,\"c_t\":0.2}\n";
    let others = "\nnot ours\n{\"step\":1}\n{\"step\":7";
    fuzz_texts("metrics", &[lines, others, ""], 10_000, |bytes| {
        fs::write(&bench.path, bytes).unwrap();
        let cut = |last_eval| {
            MetricsLock::open(&bench.path).unwrap().behind(2, last_eval).unwrap();
            fs::read(&bench.path).unwrap()
        };
        // What goes is at the end, and whole lines of steps to come; again there is nothing to cut.
        let kept = cut(LastEval::Done);
        assert!(bytes.starts_with(&kept) && (kept.is_empty() || kept.ends_with(b"\n")));
        assert_eq!(cut(LastEval::Done), kept);
        let without_scores = cut(LastEval::ToDo);
        assert!(kept.starts_with(&without_scores));
        let lines = kept.split(|byte| *byte == b'\n').count();
        format!("{} {}", lines.min(5), kept.len() == without_scores.len())
    });
}

/// Reads settings, and lays them over the recipe that they ask for.
fn read_settings<S: Settings>(path: &Path) -> String {
    let resolved = || -> anyhow::Result<String> {
        let table = read::<S>(path)?;
        let settings: S = lay_over(S::recipe(&table)?, table.clone()).try_into()?;
        // As `config.toml` has them.
        let text = toml::to_string(&Table::try_from(&settings)?)?;
        let again: Table = text.parse()?;
        assert_eq!(toml::to_string(&again)?, text, "settings change as they are written and read");
        Ok(format!("{} settings", table.len().min(3)))
    };
    resolved().unwrap_or_else(|error| outline(&error))
}

#[test]
fn settings() {
    let bench = Bench::new("config.toml");
    let seeds = [
        include_str!("../src/recipes/published.toml"),
        include_str!("../src/recipes/best.toml"),
        include_str!("../src/recipes/builtin.toml"),
        include_str!("../src/recipes/teacher.toml"),
        "recipe = 'best'\ndata = 'builtin:shapes'\nmax_steps = 3\n[run]\ncommand = 'train'\nthreads = 1\n",
    ];
    fuzz_texts("settings", &seeds, 5_000, |bytes| {
        fs::write(&bench.path, bytes).unwrap();
        format!(
            "{} {}",
            read_settings::<TrainSettings>(&bench.path),
            read_settings::<TrainTeacherSettings>(&bench.path)
        )
    });
}
