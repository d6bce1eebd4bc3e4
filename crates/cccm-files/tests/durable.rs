//! What the system is asked, in which order: only that survives a power cut.

// `cfg(test)` always holds here; it tells clippy that helpers are tests too, which may unwrap.
#![cfg(test)]
#![cfg(target_os = "linux")]

use std::path::PathBuf;
use std::process::Command;

/// The example's program, which cargo builds for tests.
fn example() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    test.parent().unwrap().parent().unwrap().join("examples/two_files")
}

/// The program's calls that write names and bring data to the disk, where `strace` is installed and may trace.
fn calls() -> Option<Vec<String>> {
    let mut strace = Command::new("strace");
    strace.args(["-f", "-y", "-e", "trace=fsync,fdatasync,rename,renameat,renameat2"]).arg(example());
    let output = strace.output().ok().filter(|output| output.status.success())?;
    let text = String::from_utf8(output.stderr).unwrap();
    Some(
        text.lines()
            .filter(|line| line.contains("sync(") || line.contains("rename"))
            .map(str::to_owned)
            .collect(),
    )
}

#[test]
fn data_are_synced_before_a_rename_and_the_directory_behind_it() {
    let Some(calls) = calls() else { return };
    let renames: Vec<usize> = (0..calls.len()).filter(|at| calls[*at].contains("rename")).collect();
    assert_eq!(renames.len(), 3, "{calls:#?}");
    for (at, name) in renames.iter().zip(["pair.sha256", "config", "weights"]) {
        let call = &calls[*at];
        assert!(call.contains(&format!("/pair/{name}\"")), "{call}");
        let partial = call.split('"').nth(1).unwrap();
        let synced =
            calls[..*at].iter().any(|call| call.contains("sync(") && call.contains(&format!("{partial}>")));
        assert!(synced, "{partial} was renamed before it was on the disk: {calls:#?}");
        // The next rename comes only when this one is on the disk.
        let next = &calls[at + 1];
        assert!(next.contains("fsync(") && next.contains("/pair>"), "{next}");
    }
    let written = calls[..renames[0]].iter().filter(|call| call.contains(".partial>")).count();
    assert_eq!(written, 3, "a file was seen before the last one was written: {calls:#?}");
}
