//! `metrics.jsonl`: one line per step, and one more where pictures were scored.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{BufRead, BufReader, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use cccm_distill::StepReport;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use crate::evaluation::TrainingScores;

/// The metrics of a run, in the hands of one process alone.
pub(crate) struct MetricsFile {
    file: File,
    path: PathBuf,
}

#[derive(Serialize)]
struct Line<'a> {
    #[serde(flatten)]
    report: &'a StepReport,
    images_per_sec: f64,
}

/// Scores after a step.
#[derive(Serialize)]
struct ScoresLine<'a> {
    step: u64,
    eval: &'a TrainingScores,
}

#[derive(Deserialize)]
struct Step {
    step: u64,
    eval: Option<IgnoredAny>,
}

/// Whether the evaluation after the last step is over, or will be done once more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LastEval {
    Done,
    ToDo,
}

impl MetricsFile {
    /// Opens the file behind the lines of step `last`: what comes after them, a killed run's unsaved steps, is cut off.
    pub(crate) fn open(path: &Path, last: u64, last_eval: LastEval) -> Result<Self> {
        let open = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
        let mut file = open.with_context(|| format!("cannot open {}", path.display()))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                bail!("another process is training this run: it holds {}", path.display())
            }
            Err(TryLockError::Error(error)) => {
                // Some network file systems have no locks.
                tracing::debug!("cannot lock {}: {error}", path.display());
            }
        }
        let cut = || -> std::io::Result<()> {
            let end = end_of_step(&file, last, last_eval)?;
            file.set_len(end)
        };
        cut().with_context(|| format!("cannot read {}", path.display()))?;
        file.seek(SeekFrom::End(0))?;
        Ok(Self { file, path: path.to_owned() })
    }

    /// Writes the line of one step.
    pub(crate) fn write(&mut self, report: &StepReport) -> Result<()> {
        self.write_line(&Line { report, images_per_sec: images_per_sec(report) })
    }

    /// Writes the scores after a step.
    pub(crate) fn write_scores(&mut self, step: u64, eval: &TrainingScores) -> Result<()> {
        self.write_line(&ScoresLine { step, eval })
    }

    fn write_line(&mut self, line: &impl Serialize) -> Result<()> {
        let mut line = serde_json::to_vec(line)?;
        line.push(b'\n');
        self.file.write_all(&line).with_context(|| format!("cannot write {}", self.path.display()))
    }
}

/// Images that go through training in a second, waiting for data included.
pub(crate) fn images_per_sec(report: &StepReport) -> f64 {
    report.images as f64 / report.total_secs
}

/// Where the last whole line of step `last` or before ends; steps never fall from line to line.
fn end_of_step(file: &File, last: u64, last_eval: LastEval) -> std::io::Result<u64> {
    let is_kept = |line: Step| {
        line.step < last || (line.step == last && (line.eval.is_none() || last_eval == LastEval::Done))
    };
    let (mut reader, mut end, mut line) = (BufReader::new(file), 0, Vec::new());
    loop {
        line.clear();
        let length = reader.read_until(b'\n', &mut line)?;
        let kept = line.ends_with(b"\n") && serde_json::from_slice::<Step>(&line).is_ok_and(is_kept);
        if !kept {
            return Ok(end);
        }
        end += length as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text_after(before: &str, last: u64) -> String {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("metrics.jsonl");
        std::fs::write(&path, before).unwrap();
        MetricsFile::open(&path, last, LastEval::ToDo).unwrap();
        std::fs::read_to_string(path).unwrap()
    }

    #[test]
    fn lines_behind_the_checkpoint_and_cut_off_lines_go() {
        let two = "{\"step\":1,\"loss\":null}\n{\"step\":2,\"loss\":0.5}\n";
        assert_eq!(text_after(&format!("{two}{{\"step\":3}}\n"), 2), two);
        assert_eq!(text_after(&format!("{two}{{\"step\":3,\"lo"), 9), two);
        assert_eq!(text_after(two, 0), "");
        assert_eq!(text_after("", 5), "");
    }

    #[test]
    fn scores_that_will_come_once_more_go() {
        let scored = "{\"step\":1}\n{\"step\":1,\"eval\":{}}\n{\"step\":2}\n";
        let text = format!("{scored}{{\"step\":2,\"eval\":{{}}}}\n");
        assert_eq!(text_after(&text, 2), scored);
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("metrics.jsonl");
        std::fs::write(&path, &text).unwrap();
        MetricsFile::open(&path, 2, LastEval::Done).unwrap();
        assert_eq!(std::fs::read_to_string(path).unwrap(), text);
    }

    #[test]
    fn one_process_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("metrics.jsonl");
        let held = MetricsFile::open(&path, 0, LastEval::Done).unwrap();
        let refused = MetricsFile::open(&path, 0, LastEval::Done).err().unwrap().to_string();
        assert!(refused.contains("another process"), "{refused}");
        drop(held);
        MetricsFile::open(&path, 0, LastEval::Done).unwrap();
    }
}
