//! Files to start from.

use std::io::Write;
use std::path::{Path, PathBuf};

use crate::watch::Target;
use crate::{lists, text};

/// Files to start from, none of more than a few thousand bytes.
pub(crate) struct Seeds {
    pub(crate) corpus: Vec<Vec<u8>>,
    /// Pickles out of archives, to be put into archives again once they are changed.
    pub(crate) packed_pickles: Vec<Vec<u8>>,
}

impl Seeds {
    pub(crate) fn of(target: Target) -> Self {
        let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates");
        let pth = crates.join("cccm-weights/tests/fixtures/pth");
        let mut corpus = match target {
            Target::Pth => [files(&pth), files(&pth.join("evil"))].concat(),
            Target::Safetensors => {
                vec![std::fs::read(pth.join("good.safetensors")).unwrap(), tiny_safetensors()]
            }
            Target::Idx => idx(),
            Target::Config => text::configs(),
            Target::Labels => text::labels(),
            Target::Jsonl | Target::Csv | Target::Tar | Target::Parquet => lists::seeds(target.name()),
        };
        corpus.extend(kept(target));
        corpus.retain(|file| file.len() < 8000);
        let packed_pickles = corpus.iter().filter_map(|file| pickle_of(file)).collect();
        Self { corpus, packed_pickles }
    }
}

/// Cases that earlier runs kept.
pub(crate) fn kept(target: Target) -> Vec<Vec<u8>> {
    files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/fuzz").join(target.name()))
}

/// The files of a folder, by name.
fn files(dir: &Path) -> Vec<Vec<u8>> {
    let paths = std::fs::read_dir(dir).into_iter().flatten().map(|entry| entry.unwrap().path());
    let mut paths: Vec<PathBuf> = paths.filter(|path| path.is_file()).collect();
    paths.sort();
    paths.iter().map(|path| std::fs::read(path).unwrap()).collect()
}

/// From the protocol to the instruction before the next entry.
fn pickle_of(archive: &[u8]) -> Option<Vec<u8>> {
    let find = |start: usize, what: &[u8]| {
        archive.get(start..)?.windows(what.len()).position(|window| window == what).map(|at| start + at)
    };
    let start = find(0, b"data.pkl").filter(|_| archive.starts_with(b"PK"))?;
    let start = find(start, b"\x80\x02")?;
    let end = find(start, b"PK\x03\x04").or_else(|| find(start, b"PK\x07\x08"))?;
    Some(archive[start..end].to_vec())
}

/// An archive with this pickle and a storage of 24 bytes.
pub(crate) fn archive(pickle: &[u8]) -> Vec<u8> {
    let (mut out, mut directory) = (Vec::new(), Vec::new());
    let entries: [(&[u8], &[u8]); 2] = [(b"archive/data.pkl", pickle), (b"archive/data/0", &[63; 24])];
    for (name, content) in entries {
        let at = out.len() as u32;
        // Version, flags, method, time, date, checksum.
        let mut fields = vec![0; 14];
        fields.extend((content.len() as u32).to_le_bytes().repeat(2));
        fields.extend([name.len() as u8, 0, 0, 0]);
        out.extend(b"PK\x03\x04");
        out.extend(&fields);
        out.extend(name);
        out.extend(content);
        directory.extend(b"PK\x01\x02\0\0");
        directory.extend(fields);
        directory.extend([0; 10]);
        directory.extend(at.to_le_bytes());
        directory.extend(name);
    }
    let start = out.len() as u32;
    out.extend(&directory);
    out.extend(b"PK\x05\x06\0\0\0\0\x02\0\x02\0");
    out.extend((directory.len() as u32).to_le_bytes());
    out.extend(start.to_le_bytes());
    out.extend([0; 2]);
    out
}

fn tiny_safetensors() -> Vec<u8> {
    let header = br#"{"__metadata__":{"a":"b"},"w":{"dtype":"F16","shape":[2],"data_offsets":[0,4]}}"#;
    [&(header.len() as u64).to_le_bytes()[..], header, &[1, 2, 3, 4]].concat()
}

/// Images and labels, each packed and not.
fn idx() -> Vec<Vec<u8>> {
    let images = [&[0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 28, 0, 0, 0, 28][..], &[7; 2 * 28 * 28]].concat();
    let labels = vec![0, 0, 8, 1, 0, 0, 0, 2, 3, 1];
    let packed = |file: &[u8]| {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(file).unwrap();
        gzip.finish().unwrap()
    };
    let case =
        |images: &[u8], labels: &[u8]| [&(images.len() as u16).to_le_bytes()[..], images, labels].concat();
    vec![
        case(&images, &labels),
        case(&packed(&images), &labels),
        case(&images, &packed(&labels)),
        case(&packed(&images), &packed(&labels)),
    ]
}
