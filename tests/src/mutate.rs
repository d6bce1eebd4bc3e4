//! Random changes to files, and a loop that looks for those which a reader does not stand.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Makes the same changes each time.
#[derive(Clone, Debug)]
pub struct Mutator {
    state: u64,
    /// Put into files now and then.
    pieces: &'static [&'static [u8]],
}

/// What texts are made of: JSON, TOML, lines; and what terminals, shells and other programs take for more than text.
pub const TEXT_PIECES: [&[u8]; 26] = [
    b"18446744073709551615",
    b"9007199254740993",
    b"-1",
    b"1e999",
    b"0.1",
    b"nan",
    b"null",
    b"true",
    b"[",
    b"]",
    b"{",
    b"}",
    b"\"",
    b",",
    b": ",
    b" = ",
    b"\n",
    b"\\u0000",
    b"\xe2\x80\xae",
    b"\x1b[2J",
    b"_",
    b" ",
    b"../",
    b"\"step\": 2, ",
    b"\"student\": {},",
    b"\"few_step_timesteps\": {\"2\": [999, 0]},",
];

/// Numbers at the edges of their types.
const EDGES: [u64; 12] =
    [0, 1, 0x7f, 0x80, 0xff, 0x7fff, 0xffff, 0x7fff_ffff, 0xffff_ffff, 1 << 60, i64::MAX as u64, u64::MAX];
impl Mutator {
    /// A source of changes.
    /// - `seed`: which ones
    /// - `pieces`: what such files are made of
    pub fn new(seed: u64, pieces: &'static [&'static [u8]]) -> Self {
        Self { state: seed, pieces }
    }

    /// Yes for one question of so many.
    pub fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }

    /// One of the files, changed in a few places, now and then joined with the end of another.
    pub fn mutated(&mut self, files: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = files[self.below(files.len())].clone();
        if self.one_in(16) {
            let other = &files[self.below(files.len())];
            bytes.truncate(self.below(bytes.len() + 1));
            bytes.extend(&other[self.below(other.len() + 1)..]);
        }
        for _ in 0..=self.below(6) {
            self.change(&mut bytes);
        }
        bytes
    }

    fn change(&mut self, bytes: &mut Vec<u8>) {
        const LONGEST: usize = 1 << 16;
        let at = self.below(bytes.len() + 1);
        let end = (at + 1 + self.below(16)).min(bytes.len());
        match self.below(10) {
            0 => bytes.truncate(at),
            1 => drop(bytes.drain(at..end)),
            2 | 3 if at < bytes.len() => bytes[at] ^= 1 << self.below(8),
            4 if at < bytes.len() => bytes[at] = self.next() as u8,
            5 | 6 => {
                let (edge, width) = (EDGES[self.below(EDGES.len())].to_le_bytes(), 1 << self.below(4));
                for (byte, new) in bytes.iter_mut().skip(at).zip(&edge[..width]) {
                    *byte = *new;
                }
            }
            7 if bytes.len() < LONGEST => {
                let piece = self.pieces[self.below(self.pieces.len())];
                bytes.splice(at..at, piece.iter().copied());
            }
            8 if bytes.len() < LONGEST => {
                let times = 1 << self.below(10);
                let copies: Vec<u8> = bytes[at..end].repeat(times).into_iter().take(LONGEST).collect();
                bytes.splice(at..at, copies);
            }
            9 if bytes.len() < LONGEST => bytes.insert(at, self.next() as u8),
            _ => {}
        }
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }

    /// `SplitMix64`.
    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.state ^ (self.state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
}

/// Gives a reader changed texts, and changes those further that draw a new answer.
/// - `count`: of texts in every run of the tests; three hundred times as many with `CCCM_SLOW_TESTS`
/// - `read`: reads, and says in a few words without numbers what came of it
///
/// # Panics
/// On a case that makes the reader panic, or that takes more than a second three times over. It is in a file of the system's
/// temporary folder then.
pub fn fuzz_texts(name: &str, seeds: &[&str], count: u64, read: impl Fn(&[u8]) -> String) {
    const MOST_KEPT: usize = 200;
    const SLOW: u64 = 300;
    let mut corpus: Vec<Vec<u8>> = seeds.iter().map(|seed| seed.as_bytes().to_vec()).collect();
    let mut answers: BTreeSet<String> = corpus.iter().map(|case| watched(name, case, &read)).collect();
    let mut mutator = Mutator::new(seeds.len() as u64, &TEXT_PIECES);
    let times = if std::env::var_os("CCCM_SLOW_TESTS").is_some() { SLOW } else { 1 };
    for _ in 0..times * count {
        let case = mutator.mutated(&corpus);
        let answer = watched(name, &case, &read);
        if corpus.len() < seeds.len() + MOST_KEPT && answers.insert(answer) {
            corpus.push(case);
        }
    }
    assert!(answers.len() > 3, "{name}: {answers:?}");
}

fn watched(name: &str, case: &[u8], read: &impl Fn(&[u8]) -> String) -> String {
    const MOST_SECS: Duration = Duration::from_secs(1);
    let mut best = Duration::MAX;
    // A machine that is busy elsewhere may take long once, but not three times.
    for _ in 0..3 {
        let started = Instant::now();
        let answer = catch_unwind(AssertUnwindSafe(|| read(case)));
        best = best.min(started.elapsed());
        match answer {
            Ok(answer) if best <= MOST_SECS => return answer,
            Ok(_) => {}
            Err(panic) => {
                kept(name, case);
                resume_unwind(panic);
            }
        }
    }
    let path = kept(name, case);
    assert!(best <= MOST_SECS, "{name} takes {best:?}: {}", path.display());
    String::new()
}

fn kept(name: &str, case: &[u8]) -> PathBuf {
    let path = std::env::temp_dir().join(format!("cccm-fuzz-{name}-{}", std::process::id()));
    // Best effort: the test fails with what it has found.
    let _ = std::fs::write(&path, case);
    path
}
