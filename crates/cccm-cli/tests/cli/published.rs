//! A checkpoint of the published size, where one was made: `CCCM_PUBLISHED_PTH` names what
//! `tests/fixtures/published_size.py` wrote.

use std::fs;
use std::path::Path;

use crate::support::start;

/// A gigabyte, in the kB of `/proc`.
const MOST_KB: u64 = 1_000_000;

/// The most memory that a process has held so far; none once it has ended.
fn peak_kb(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[test]
fn a_published_checkpoint_is_converted_in_less_than_a_gigabyte() {
    let Some(checkpoint) = std::env::var_os("CCCM_PUBLISHED_PTH") else { return };
    let checkpoint = fs::canonicalize(Path::new(&checkpoint)).unwrap();
    let temp = tempfile::tempdir().unwrap();
    let args = ["convert", checkpoint.to_str().unwrap(), "teacher.safetensors", "--preset", "celeba"];
    let mut child = start(temp.path(), &args);
    let mut peak = 0;
    while child.try_wait().unwrap().is_none() {
        peak = peak.max(peak_kb(child.id()).unwrap_or_default());
    }
    assert!(child.wait().unwrap().success());
    let weights = fs::metadata(temp.path().join("teacher.safetensors")).unwrap().len();
    // 107 million parameters of four bytes; the file has twice as much beside them.
    assert!(weights > 420_000_000 && fs::metadata(&checkpoint).unwrap().len() > 3 * weights - 10_000_000);
    assert!(peak > 0 && peak < MOST_KB, "it took {peak} kB");
}
