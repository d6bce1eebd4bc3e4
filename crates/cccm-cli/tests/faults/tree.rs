//! Folders: copied, and compared by what their files mean.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::{Map, Value};

/// The files and links below a folder, by their paths in it, as far as they do not depend on the clock. `runs/latest` is a convenience
/// that a run does without, with a warning.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tree(BTreeMap<String, Vec<u8>>);

impl Tree {
    pub(crate) fn of(root: &Path) -> Self {
        let (mut files, mut left) = (BTreeMap::new(), vec![root.to_owned()]);
        while let Some(dir) = left.pop() {
            for entry in fs::read_dir(dir).unwrap() {
                let path = entry.unwrap().path();
                let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
                if name == "runs/latest" {
                } else if path.is_symlink() {
                    files.insert(name, fs::read_link(&path).unwrap().into_os_string().into_encoded_bytes());
                } else if path.is_dir() {
                    left.push(path);
                } else if !name.contains("events.out.") {
                    let content = without_clock(&name, fs::read(&path).unwrap());
                    files.insert(name, content);
                }
            }
        }
        Self(files)
    }

    /// A file's content; none if it is not there.
    pub(crate) fn get(&self, name: &str) -> Option<&Vec<u8>> {
        self.0.get(name)
    }

    /// What differs, in a line; none if nothing does.
    pub(crate) fn difference(&self, other: &Self) -> Option<String> {
        let names = self.0.keys().chain(other.0.keys());
        let mut differing: Vec<&str> =
            names.filter(|name| self.get(name) != other.get(name)).map(String::as_str).collect();
        differing.sort_unstable();
        differing.dedup();
        (!differing.is_empty()).then(|| differing.join(", "))
    }
}

fn without_clock(name: &str, bytes: Vec<u8>) -> Vec<u8> {
    let file = name.rsplit('/').next().unwrap_or_default();
    if file == "metrics.jsonl" {
        return String::from_utf8_lossy(&bytes)
            .lines()
            .flat_map(|line| without_secs(line.as_bytes()))
            .collect();
    }
    if file == "scores.json" {
        return without_secs(&bytes);
    }
    if file.starts_with("part-") {
        // Its header says how long drawing took.
        let len = bytes.get(..8).map_or(0, |len| u64::from_le_bytes(len.try_into().unwrap()) as usize);
        return bytes.get(8 + len..).map_or(bytes.clone(), <[u8]>::to_vec);
    }
    bytes
}

/// An object of JSON without what the clock decides; what is no JSON as it is.
fn without_secs(bytes: &[u8]) -> Vec<u8> {
    let Ok(mut object) = serde_json::from_slice::<Map<String, Value>>(bytes) else { return bytes.to_vec() };
    object.retain(|name, _| !name.contains("secs") && name != "images_per_sec" && name != "work");
    serde_json::to_vec(&object).unwrap()
}
