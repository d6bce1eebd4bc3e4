//! What a machine with a GPU and nothing else needs, in one folder.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::{ROOT_ENV, root};

/// What programs look for in the workspace.
const FILES: [&str; 2] = ["crates/cccm-bench/bench_torch.py", "tests/fixtures"];

/// Copies the programs, and what they read, into an empty folder.
pub(super) fn fill(folder: &Path, programs: &[(&str, PathBuf)]) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder).with_context(|| format!("cannot empty {}", folder.display()))?;
    }
    for (name, program) in programs {
        copy(program, &folder.join(name))?;
    }
    FILES.iter().try_for_each(|file| copy(&root().join(file), &folder.join(file)))
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    let failed = || format!("cannot copy {} to {}", from.display(), to.display());
    if from.is_dir() {
        for entry in fs::read_dir(from).with_context(failed)? {
            let entry = entry.with_context(failed)?;
            copy(&entry.path(), &to.join(entry.file_name()))?;
        }
        return Ok(());
    }
    if let Some(parent) = to.parent() {
        fs::create_dir_all(parent).with_context(failed)?;
    }
    fs::copy(from, to).map(drop).with_context(failed)
}

/// A test of a package, built by this `cargo test --no-run`: the program that it names.
pub(super) fn test_program(command: &mut Command, package: &str, name: &str) -> Result<PathBuf> {
    let output = command
        .args(["--message-format=json-render-diagnostics"])
        .stderr(Stdio::inherit())
        .output()
        .context("starting `cargo test`")?;
    ensure!(output.status.success(), "`cargo test --no-run` fails");
    let messages = String::from_utf8_lossy(&output.stdout);
    let program = messages.lines().find_map(|line| program_of(line, package, name));
    program.with_context(|| format!("`cargo test` names no program of the test `{name}` of {package}"))
}

/// The program that one of cargo's messages is about, if it is that test; other packages may have one of the same name.
fn program_of(message: &str, package: &str, name: &str) -> Option<PathBuf> {
    let message: serde_json::Value = serde_json::from_str(message).ok()?;
    let is_it = message["target"]["name"] == name
        && message["profile"]["test"] == true
        && message["package_id"].as_str()?.contains(&format!("#{package}@"));
    message["executable"].as_str().filter(|_| is_it).map(PathBuf::from)
}

/// Has the programs of a bundle look for files in it.
pub(super) fn settle(command: &mut Command, bundle: &Path) {
    command.env(ROOT_ENV, bundle).env("CCCM_FIXTURES", bundle.join("tests/fixtures"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_is_found_by_package_and_name() {
        let line = |package: &str| {
            format!(
                r#"{{"package_id":"path+file:///x/{package}#{package}@0.1.0","target":{{"name":"parity"}},"profile":{{"test":true}},"executable":"/x/{package}"}}"#
            )
        };
        assert_eq!(program_of(&line("tests"), "tests", "parity").unwrap(), PathBuf::from("/x/tests"));
        assert_eq!(program_of(&line("sched"), "tests", "parity"), None);
        assert_eq!(program_of(&line("tests"), "tests", "other"), None);
        assert_eq!(program_of("not JSON", "tests", "parity"), None);
    }

    #[test]
    fn folders_are_copied_whole_and_old_files_go() {
        let dir = std::env::temp_dir().join(format!("cccm-bundle-{}", std::process::id()));
        fs::create_dir_all(dir.join("bundle")).unwrap();
        fs::write(dir.join("bundle/old"), "").unwrap();
        fs::write(dir.join("program"), "x").unwrap();
        fill(&dir.join("bundle"), &[("renamed", dir.join("program"))]).unwrap();
        let is_there = |file: &str| dir.join("bundle").join(file).is_file();
        assert!(is_there("renamed") && !is_there("old"));
        assert!(is_there("crates/cccm-bench/bench_torch.py") && is_there("tests/fixtures/oracle.py"));
        assert!(fill(&dir.join("bundle"), &[("missing", dir.join("missing"))]).is_err());
        fs::remove_dir_all(dir).unwrap();
    }
}
