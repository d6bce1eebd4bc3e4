//! `cccm report`: models side by side, in tables and figures.

#![expect(clippy::doc_markdown, reason = "help texts are read in a terminal")]

use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Result;
use cccm_report::{Found, Times, find, models, write_report};

/// Put models side by side: tables and figures of their scores and of their training
///
/// Reads what `cccm eval` and training wrote, draws and computes nothing anew. Runs that differ in nothing but --seed are
/// one row, with the spread over them. Writes report.md and the same as index.html, report.json, accuracy.svg, frechet.svg,
/// pixels.svg, training.svg, matrix.png and before_after.png.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct ReportArgs {
    /// Runs with scores, folders of runs, or folders that `cccm eval --out` wrote; with a name for the row, if it is not
    /// to be that of the folder
    #[arg(value_name = "[NAME=]PATH", required = true)]
    paths: Vec<String>,

    /// Where the report goes; what an older one left there is replaced
    #[arg(long, value_name = "DIR")]
    out: PathBuf,

    /// Leave out the times, as those of a machine that had other things to do
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
            // The paths may lie in each other; who comes first names.
            found.retain(|found| seen.insert(found.place()));
            Ok((name, found))
        });
        let models = models(named.collect::<Result<Vec<(Option<String>, Vec<Found>)>>>()?)?;
        let times = if self.untimed { Times::Left } else { Times::Shown };
        writeln!(out, "{}", write_report(&models, &self.out, times)?.display())?;
        Ok(())
    }
}

/// A name before the path, if what stands before the first `=` can be one; a path that exists is a path.
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
