//! Two files that belong together: killed at any moment, this leaves both old, both new, or a list that does not fit.
//!
//! ```console
//! $ cargo run -p cccm-files --example two_files
//! ```

use std::io::Write;

use cccm_files::{Left, Pending, Sums, commit_in_order, remove_files, sha256};

fn main() -> std::io::Result<()> {
    let temp = tempfile::tempdir()?;
    let dir = temp.path().join("pair");
    cccm_files::create_dirs(&dir)?;

    let (weights, config) = (b"weights".as_slice(), b"{}".as_slice());
    let mut sums = Sums::default();
    sums.insert("weights", sha256(weights));
    sums.insert("config", sha256(config));
    let text = sums.to_string();

    // The list comes first: from then on, the old pair is refused until the new one is there.
    let files = [("pair.sha256", text.as_bytes()), ("config", config), ("weights", weights)];
    let pending = files.map(|(name, bytes)| Pending::new(&dir.join(name), |file| file.write_all(bytes)));
    commit_in_order(pending.into_iter().collect::<std::io::Result<Vec<_>>>()?)?;

    std::io::stdout().write_all(text.as_bytes())?;
    assert_eq!(remove_files(&dir, files.map(|(name, _)| name))?, Left::Nothing);
    Ok(())
}
