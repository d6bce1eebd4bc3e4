//! The machine around the devices.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Serialize;

/// Of the machine.
#[derive(Serialize)]
pub(super) struct Memory {
    pub(super) total_bytes: u64,
    /// What programs can have without others being swapped out.
    pub(super) available_bytes: u64,
}

/// Where files are written.
#[derive(Serialize)]
pub(super) struct Folder {
    pub(super) path: PathBuf,
    pub(super) purpose: &'static str,
    pub(super) is_writable: bool,
    /// Nothing where the system does not tell.
    pub(super) free_bytes: Option<u64>,
}

/// Its name, where the system has `/proc`.
pub(super) fn cpu_name() -> Option<String> {
    let text = fs::read_to_string("/proc/cpuinfo").ok()?;
    let (_, name) = text.lines().find(|line| line.starts_with("model name"))?.split_once(':')?;
    Some(name.trim().to_owned())
}

/// Of the machine, where the system has `/proc`.
pub(super) fn memory() -> Option<Memory> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let bytes = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kib| kib * 1024)
    };
    Some(Memory { total_bytes: bytes("MemTotal:")?, available_bytes: bytes("MemAvailable:")? })
}

/// Where this program writes: runs in the folder it is started in, and its caches.
pub(super) fn folders() -> Vec<Folder> {
    let mut folders = vec![folder(PathBuf::from("."), "runs and pictures")];
    folders.extend(dirs::cache_dir().map(|cache| folder(cache.join("cccm"), "classifiers and kernels")));
    #[cfg(feature = "hub")]
    if let Ok(hub) = cccm_hub::HubConfig::from_variables(|name| std::env::var_os(name)) {
        folders.push(folder(hub.cache_dir, "downloads from the Hub"));
    }
    folders
}

fn folder(path: PathBuf, purpose: &'static str) -> Folder {
    let path = std::path::absolute(&path).unwrap_or(path);
    // A folder that does not exist yet will be created in its nearest existing parent.
    let there = path.ancestors().find(|path| path.is_dir()).unwrap_or(Path::new("."));
    let is_writable = tempfile::tempfile_in(there).is_ok();
    let free_bytes = free_bytes(there);
    Folder { path, purpose, is_writable, free_bytes }
}

#[cfg(unix)]
fn free_bytes(folder: &Path) -> Option<u64> {
    let disk = rustix::fs::statvfs(folder).ok()?;
    Some(disk.f_bavail * disk.f_frsize)
}

#[cfg(not(unix))]
fn free_bytes(_folder: &Path) -> Option<u64> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_is_not_there_yet_is_as_good_as_the_one_that_it_will_be_in() {
        let dir = tempfile::tempdir().unwrap();
        let inner = folder(dir.path().join("a/b"), "tests");
        assert!(inner.is_writable && inner.path.ends_with("a/b"));
        assert!(!dir.path().join("a").exists(), "it only looks");
        assert!(cfg!(not(unix)) || inner.free_bytes.unwrap() > 0);
        fs::write(dir.path().join("file"), "").unwrap();
        assert!(
            !folder(PathBuf::from("/proc/nothing"), "tests").is_writable || cfg!(not(target_os = "linux"))
        );
    }
}
