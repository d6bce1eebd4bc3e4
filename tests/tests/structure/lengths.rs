//! Files that can be read in one go. Functions are clippy's (`clippy.toml`).

use std::path::PathBuf;

use crate::{published, root};

/// Lines of a file, its tests aside.
const MOST: usize = 400;

#[test]
fn no_file_is_longer_than_can_be_read_in_one_go() -> anyhow::Result<()> {
    let mut folders: Vec<PathBuf> = published()?.into_iter().map(|each| each.folder.join("src")).collect();
    folders.push(root().join("xtask/src"));
    let (mut files, mut long) = (0, Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path)?;
                let lines = text.lines().take_while(|line| *line != "#[cfg(test)]").count();
                files += 1;
                if lines > MOST {
                    long.push(format!("{}: {lines} lines", path.display()));
                }
            }
        }
    }
    assert!(files > 100, "only {files} files were found");
    assert!(long.is_empty(), "split what is longer than {MOST} lines: {long:#?}");
    Ok(())
}
