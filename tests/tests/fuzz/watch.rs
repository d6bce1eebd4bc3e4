//! One execution of a reader, and what is asked of it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::{Duration, Instant};

use cccm_data::Digits;
use cccm_tests::TEXT_PIECES;
use cccm_weights::parse_weights;

use crate::{heap, lists, text};

/// What pickles and archives are made of.
const PIECES: [&[u8]; 16] = [
    b"PK\x01\x02",
    b"PK\x03\x04",
    b"PK\x05\x06",
    b"PK\x06\x06",
    b"PK\x06\x07",
    b"ctorch\nFloatStorage\n",
    b"ccollections\nOrderedDict\n",
    b"ctorch._utils\n_rebuild_tensor_v2\n",
    b"cos\nsystem\n",
    b"}q\x00",
    b"]q\x01",
    b"(tR",
    b"h\x00a",
    b"Q",
    b"\"shape\":[18446744073709551615]",
    b"\"data_offsets\":[0,18446744073709551615]",
];

/// What shards are made of.
const SHARD_PIECES: [&[u8]; 10] = [
    b"ustar\x0000",
    b"00000001000\0",
    b"77777777777\0",
    b"0.json",
    b"0.png",
    b"{\"attribute\": \"a\"}",
    b"PAR1",
    b"\x15\x00\x15",
    b"\xff\xff\xff\xff\x0f",
    b"attribute",
];

#[derive(Clone, Copy, Debug)]
pub(crate) enum Target {
    Pth,
    Safetensors,
    Idx,
    Config,
    Labels,
    Jsonl,
    Csv,
    Tar,
    Parquet,
}

impl Target {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Pth => "pth",
            Self::Safetensors => "safetensors",
            Self::Idx => "idx",
            Self::Config => "config",
            Self::Labels => "labels",
            Self::Jsonl => "jsonl",
            Self::Csv => "csv",
            Self::Tar => "tar",
            Self::Parquet => "parquet",
        }
    }

    /// What its files are made of.
    pub(crate) fn pieces(self) -> &'static [&'static [u8]] {
        match self {
            Self::Pth | Self::Safetensors | Self::Idx => &PIECES,
            Self::Config | Self::Labels | Self::Jsonl | Self::Csv => &TEXT_PIECES,
            Self::Tar | Self::Parquet => &SHARD_PIECES,
        }
    }

    /// Reads, and says what came of it.
    fn read(self, bytes: &[u8]) -> String {
        match self {
            Self::Pth | Self::Safetensors => match parse_weights(bytes, Path::new(self.name())) {
                Ok(tensors) => format!("{} tensors", tensors.len().min(20)),
                Err(error) => outline(&error),
            },
            Self::Idx => {
                let (images, labels) = split(bytes);
                match Digits::from_idx(images, labels) {
                    Ok(_) => "digits".to_owned(),
                    Err(error) => outline(&error),
                }
            }
            Self::Config => text::read_config(bytes),
            Self::Labels => text::read_labels(bytes),
            Self::Jsonl | Self::Csv | Self::Tar | Self::Parquet => lists::read(self.name(), bytes),
        }
    }
}

/// A case of two files: the length of the first stands before it.
fn split(case: &[u8]) -> (&[u8], &[u8]) {
    match case.split_first_chunk() {
        Some((len, files)) => files.split_at(usize::from(u16::from_le_bytes(*len)).min(files.len())),
        None => (case, &[]),
    }
}

/// Reads a case and checks that nothing bad came of it; gives the answer without numbers and names.
pub(crate) fn watched(target: Target, case: &[u8]) -> String {
    const MOST_SECS: Duration = Duration::from_secs(1);
    // Beyond what the case itself takes, some times over.
    let (times, always) = match target {
        Target::Config | Target::Labels => (64, 128 << 20),
        Target::Jsonl | Target::Csv | Target::Tar | Target::Parquet => (64, 64 << 20),
        _ => (4, 16 << 20),
    };
    let mut best = Duration::MAX;
    // A machine that is busy elsewhere may take long once, but not three times.
    for _ in 0..3 {
        let started = Instant::now();
        let (answer, bytes) = heap::peak(|| catch_unwind(AssertUnwindSafe(|| target.read(case))));
        best = best.min(started.elapsed());
        let Ok(answer) = answer else { fail(target, case, "panics") };
        if bytes > times * case.len() as u64 + always {
            fail(target, case, &format!("takes {bytes} bytes"));
        }
        if best <= MOST_SECS {
            return answer;
        }
    }
    fail(target, case, &format!("takes {best:?}"))
}

/// Ends the test, with the case in a file.
fn fail(target: Target, case: &[u8], problem: &str) -> ! {
    let path = std::env::temp_dir().join(format!("cccm-fuzz-{}-{}", target.name(), std::process::id()));
    std::fs::write(&path, case).unwrap();
    panic!("{target:?} of {} bytes {problem}: {}", case.len(), path.display());
}

/// The first words of the last cause, without quoted names and numbers: what kind of answer it is.
pub(crate) fn outline(error: &dyn std::error::Error) -> String {
    const WORDS: usize = 7;
    let cause = std::iter::successors(Some(error), |error| error.source()).last();
    let text = cause.map(ToString::to_string).unwrap_or_default();
    let unquoted: String = text.split('`').step_by(2).collect();
    let letters = unquoted.chars().filter(|c| c.is_ascii_alphabetic() || *c == ' ').collect::<String>();
    letters.split_whitespace().take(WORDS).collect::<Vec<_>>().join(" ")
}
