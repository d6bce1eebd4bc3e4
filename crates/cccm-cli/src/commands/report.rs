//! `cccm report`: models side by side, in tables and figures.

#![expect(clippy::doc_markdown, reason = "help texts are read in a terminal")]

use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Result;
use cccm_report::{Found, Times, find, models, write_report};

/// Put models side by side: tables and figures of their scores and of their training
///
/// Reads what `cccm eval` and training wrote; samples no pictures and computes no scores. Runs that differ
/// only in --seed are one row, with the spread over the seeds. Writes report.md and the same as index.html,
/// report.json, accuracy.svg, frechet.svg, pixels.svg, training.svg, matrix.png and before_after.png.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct ReportArgs {
    /// Runs with scores, folders of runs, or folders that `cccm eval --out` wrote; NAME is the name of the
    /// row instead of the folder's name
    #[arg(value_name = "[NAME=]PATH", required = true)]
    paths: Vec<String>,

    /// Where the report goes; files of an older report there are replaced
    #[arg(long, value_name = "DIR")]
    out: PathBuf,

    /// Leave out the times, for example because the machine was doing other work
    #[arg(long)]
    untimed: bool,
}

impl ReportArgs {
    /// Reports.
    pub(crate) fn run(self, out: &mut dyn Write) -> Result<()> {
        let mut seen = BTreeSet::new();
        let named = self.paths.iter().map(|path| {
            let (name, path) = name_and_path(path);
            let mut found = find(path)?;
            // One path may contain another; the first path that finds a model names it.
            found.retain(|found| seen.insert(found.place()));
            Ok((name, found))
        });
        let models = models(named.collect::<Result<Vec<(Option<String>, Vec<Found>)>>>()?)?;
        let times = if self.untimed { Times::Left } else { Times::Shown };
        writeln!(out, "{}", write_report(&models, &self.out, times)?.display())?;
        Ok(())
    }
}

/// Splits `NAME=PATH` if the text before the first `=` can be a name. A text that is an existing path is not
/// split.
fn name_and_path(typed: &str) -> (Option<String>, &Path) {
    match typed.split_once('=') {
        Some((name, path)) if !name.is_empty() && !name.contains('/') && !Path::new(typed).exists() => {
            (Some(name.to_owned()), Path::new(path))
        }
        _ => (None, Path::new(typed)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stand_before_paths() {
        let split = |typed| {
            let (name, path) = name_and_path(typed);
            (name, path.to_string_lossy().into_owned())
        };
        assert_eq!(split("runs/a"), (None, "runs/a".to_owned()));
        assert_eq!(split("the teacher=runs/a=b"), (Some("the teacher".to_owned()), "runs/a=b".to_owned()));
        assert_eq!(split("runs/lr=1/a"), (None, "runs/lr=1/a".to_owned()));
        assert_eq!(split("=a"), (None, "=a".to_owned()));
    }
}
