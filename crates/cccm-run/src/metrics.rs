//! `metrics.jsonl`: one line per step, and one more where pictures were scored.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, ErrorKind, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use cccm_distill::StepReport;
use cccm_files::{Lock, open_locked};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

/// The metrics file, locked for this process and not changed yet. The lock stands for the whole run.
pub struct MetricsLock {
    file: File,
    path: PathBuf,
}

/// The metrics of a run, locked for this process.
pub struct MetricsFile {
    file: File,
    path: PathBuf,
    /// Bytes of the lines that are in it.
    end: u64,
    /// Lines that could not be written yet. They must be written before the next checkpoint, so that every
    /// step in a checkpoint has its line.
    unwritten: Vec<u8>,
}

#[derive(Serialize)]
struct Line<'a> {
    #[serde(flatten)]
    report: &'a StepReport,
    images_per_sec: f64,
}

/// Scores after a step.
#[derive(Serialize)]
struct ScoresLine<'a, S> {
    step: u64,
    eval: &'a S,
}

#[derive(Deserialize)]
struct Step {
    step: u64,
    eval: Option<IgnoredAny>,
}

/// Whether the evaluation after the last step is over, or will be done once more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LastEval {
    /// It is over.
    Done,
    /// It will be done once more.
    ToDo,
}

impl MetricsLock {
    /// Makes the file; it must not be there.
    ///
    /// # Errors
    /// When it is there, and those of the file system.
    pub fn create(path: &Path) -> Result<Self> {
        Self::open_with(path, OpenOptions::new().read(true).write(true).create_new(true))
    }

    /// Takes the file of a run that is there.
    ///
    /// # Errors
    /// When another process holds it, and those of the file system.
    pub fn open(path: &Path) -> Result<Self> {
        Self::open_with(path, OpenOptions::new().read(true).write(true).create(true).truncate(false))
    }

    fn open_with(path: &Path, options: &mut OpenOptions) -> Result<Self> {
        match open_locked(path, options) {
            Ok((file, lock)) => {
                if let Lock::Unsupported(error) = lock {
                    tracing::warn!(
                        "cannot lock {}: {error}; see to it that no other process trains this run",
                        path.display()
                    );
                }
                Ok(Self { file, path: path.to_owned() })
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                bail!("another process is training this run: it holds {}", path.display())
            }
            Err(error) => Err(error).with_context(|| format!("cannot open {}", path.display())),
        }
    }

    /// Opens the file for writing after the lines of step `last`. Later lines are cut off: they belong to
    /// steps that a killed run did not save.
    ///
    /// # Errors
    /// Those of the file system, with the path.
    pub fn behind(self, last: u64, last_eval: LastEval) -> Result<MetricsFile> {
        let Self { file, path } = self;
        let cut = || -> std::io::Result<u64> {
            let end = end_of_step(&file, last, last_eval)?;
            file.set_len(end)?;
            Ok(end)
        };
        let end = cut().with_context(|| format!("cannot read {}", path.display()))?;
        Ok(MetricsFile { file, path, end, unwritten: Vec::new() })
    }
}

impl MetricsFile {
    /// Writes the line of one step.
    ///
    /// # Errors
    /// Those of the file system, with the path.
    pub fn write(&mut self, report: &StepReport) -> Result<()> {
        self.write_line(&Line { report, images_per_sec: images_per_sec(report) })
    }

    /// Writes the scores after a step.
    ///
    /// # Errors
    /// Those of the file system, with the path.
    pub fn write_scores(&mut self, step: u64, eval: &impl Serialize) -> Result<()> {
        self.write_line(&ScoresLine { step, eval })
    }

    /// Syncs the lines so far to the disk, before a checkpoint of their steps is written.
    ///
    /// # Errors
    /// Those of the file system, with the path.
    pub fn sync(&mut self) -> Result<()> {
        self.write_rest()?;
        self.file.sync_data().with_context(|| format!("cannot write {}", self.path.display()))
    }

    fn write_line(&mut self, line: &impl Serialize) -> Result<()> {
        self.unwritten.extend(serde_json::to_vec(line)?);
        self.unwritten.push(b'\n');
        self.write_rest()
    }

    /// Writes the pending lines, over the part of them that an earlier attempt may have written.
    fn write_rest(&mut self) -> Result<()> {
        let Self { file, path, end, unwritten } = self;
        let start = file.seek(SeekFrom::Start(*end));
        start
            .and_then(|_| file.write_all(unwritten))
            .with_context(|| format!("cannot write {}", path.display()))?;
        *end += unwritten.len() as u64;
        unwritten.clear();
        Ok(())
    }
}

/// Images that go through training in a second, waiting for data included.
pub fn images_per_sec(report: &StepReport) -> f64 {
    report.images as f64 / report.total_secs
}

/// Where the last whole line of step `last` or before ends; steps never fall from line to line. What somebody else wrote in
/// between, such as an empty line, is passed over.
fn end_of_step(file: &File, last: u64, last_eval: LastEval) -> std::io::Result<u64> {
    let is_kept = |line: &Step| {
        line.step < last || (line.step == last && (line.eval.is_none() || last_eval == LastEval::Done))
    };
    let (mut reader, mut end, mut place, mut line) = (BufReader::new(file), 0, 0, Vec::new());
    loop {
        line.clear();
        let length = reader.read_until(b'\n', &mut line)?;
        if !line.ends_with(b"\n") {
            return Ok(end);
        }
        place += length as u64;
        match serde_json::from_slice::<Step>(&line) {
            Ok(step) if is_kept(&step) => end = place,
            Ok(_) => return Ok(end),
            Err(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text_after(before: &str, last: u64) -> String {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("metrics.jsonl");
        std::fs::write(&path, before).unwrap();
        MetricsLock::open(&path).unwrap().behind(last, LastEval::ToDo).unwrap();
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
        MetricsLock::open(&path).unwrap().behind(2, LastEval::Done).unwrap();
        assert_eq!(std::fs::read_to_string(path).unwrap(), text);
    }

    #[test]
    fn one_process_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("metrics.jsonl");
        let held = MetricsLock::create(&path).unwrap();
        let refused = MetricsLock::open(&path).err().unwrap().to_string();
        assert!(refused.contains("another process"), "{refused}");
        assert!(MetricsLock::create(&path).is_err());
        drop(held);
        MetricsLock::open(&path).unwrap();
    }

    #[test]
    fn lines_of_others_delete_nothing() {
        let two = "\n{\"step\":1}\nnot ours\n\n{\"step\":2}\n";
        assert_eq!(text_after(&format!("{two}{{\"step\":3}}\n"), 2), two);
        // Behind the last step they go with what is cut off there.
        assert_eq!(text_after(&format!("{two}\n"), 9), two);
    }

    #[test]
    #[cfg(unix)]
    fn a_link_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let (link, target) = (dir.path().join("metrics.jsonl"), dir.path().join("precious"));
        std::fs::write(&target, "mine").unwrap();
        std::os::unix::fs::symlink(&target, &link).unwrap();
        assert!(MetricsLock::open(&link).is_err());
        assert_eq!(std::fs::read_to_string(target).unwrap(), "mine");
    }
}
