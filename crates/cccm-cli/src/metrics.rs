//! `metrics.jsonl`: one line per step.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{BufRead, BufReader, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use cccm_distill::StepReport;
use serde::{Deserialize, Serialize};

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

#[derive(Deserialize)]
struct Step {
    step: u64,
}

impl MetricsFile {
    /// Opens the file behind the line of step `last`: what comes after it, a killed run's unsaved steps, is cut off.
    pub(crate) fn open(path: &Path, last: u64) -> Result<Self> {
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
            let end = end_of_step(&file, last)?;
            file.set_len(end)
        };
        cut().with_context(|| format!("cannot read {}", path.display()))?;
        file.seek(SeekFrom::End(0))?;
        Ok(Self { file, path: path.to_owned() })
    }

    /// Writes the line of one step.
    pub(crate) fn write(&mut self, report: &StepReport) -> Result<()> {
        let mut line = serde_json::to_vec(&Line { report, images_per_sec: images_per_sec(report) })?;
        line.push(b'\n');
        self.file.write_all(&line).with_context(|| format!("cannot write {}", self.path.display()))
    }
}

/// Images that go through training in a second, waiting for data included.
pub(crate) fn images_per_sec(report: &StepReport) -> f64 {
    report.images as f64 / report.total_secs
}

/// Where the last whole line of step `last` or before ends; steps rise from line to line.
fn end_of_step(file: &File, last: u64) -> std::io::Result<u64> {
    let (mut reader, mut end, mut line) = (BufReader::new(file), 0, Vec::new());
    loop {
        line.clear();
        let length = reader.read_until(b'\n', &mut line)?;
        let kept = line.ends_with(b"\n")
            && serde_json::from_slice::<Step>(&line).is_ok_and(|line| line.step <= last);
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
        MetricsFile::open(&path, last).unwrap();
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
    fn one_process_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("metrics.jsonl");
        let held = MetricsFile::open(&path, 0).unwrap();
        let refused = MetricsFile::open(&path, 0).err().unwrap().to_string();
        assert!(refused.contains("another process"), "{refused}");
        drop(held);
        MetricsFile::open(&path, 0).unwrap();
    }
}
