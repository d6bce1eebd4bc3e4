//! Lists and shards of images, as the loader opens them.

use std::cell::RefCell;
use std::path::Path;

use cccm_data::{FolderConfig, FolderDataset, KnownLabels, OnBadImage, discover};

use crate::watch::outline;

thread_local! {
    /// A folder for the file to be read, in memory where the system has such a folder.
    static FOLDER: RefCell<Option<tempfile::TempDir>> = const { RefCell::new(None) };
}

/// Reads the labels, then the images of a list or a shard; says what came of it.
/// - `extension`: tells what it is
pub(crate) fn read(extension: &str, bytes: &[u8]) -> String {
    FOLDER.with_borrow_mut(|folder| {
        let folder = folder.get_or_insert_with(|| {
            let memory = Path::new("/dev/shm");
            if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap()
        });
        let path = folder.path().join("list").with_extension(extension);
        std::fs::write(&path, bytes).unwrap();
        let opened = discover(&path, &KnownLabels::default()).and_then(|vocabulary| {
            let config = FolderConfig { on_bad_image: OnBadImage::Skip, ..FolderConfig::new(vocabulary, 4) };
            FolderDataset::open(&path, &config)
        });
        match opened {
            Ok(_) => "a data set".to_owned(),
            Err(error) => outline(&error),
        }
    })
}

/// Files to start from.
pub(crate) fn seeds(extension: &str) -> Vec<Vec<u8>> {
    match extension {
        "jsonl" => vec![
            b"{\"file_name\": \"a.png\", \"attribute\": \"red\", \"object\": 7}\n\n{}\n".to_vec(),
            b"\xef\xbb\xbf{\"file_name\": \"b.png\", \"attribute\": true, \"object\": null, \"x\": [1, {}]}"
                .to_vec(),
        ],
        "csv" => vec![
            b"file_name,attribute,object\na.png,red,\"cu\"\"p\"\r\nb.png,blue,hat\n".to_vec(),
            b"\xef\xbb\xbfobject,file_name\n\"a\nb\",c\n,\n".to_vec(),
        ],
        "tar" => vec![tar()],
        _ => ["datasets/data/test-00000-of-00001.parquet", "pyarrow_none/images.parquet"]
            .map(|name| {
                let lists =
                    Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/cccm-data/tests/fixtures/lists");
                std::fs::read(lists.join(name)).unwrap()
            })
            .into(),
    }
}

/// One sample, and what else archives have.
fn tar() -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    for (name, content) in [
        ("0.json", &b"{\"attribute\": \"a\", \"object\": \"b\"}"[..]),
        ("0.png", b"no image"),
        (&"long/".repeat(40), b""),
    ] {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        archive.append_data(&mut header, name, content).unwrap();
    }
    archive.into_inner().unwrap()
}
