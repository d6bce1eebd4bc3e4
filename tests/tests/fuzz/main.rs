//! Files from strangers: whatever is in them, reading them neither panics, nor hangs, nor takes memory out of proportion.
//!
//! Mutations of good and evil files, kept when they draw a new answer from the reader. A few thousand in every test run;
//! with `CCCM_SLOW_TESTS=1` more than ten million. `CCCM_FUZZ_KEEP=DIR` writes what was kept, for `fixtures/fuzz`.

#![cfg(test)]

mod amplifiers;
mod heap;
mod lists;
mod seeds;
mod text;
mod watch;

use std::collections::BTreeSet;
use std::path::Path;

use cccm_tests::Mutator;

use crate::seeds::Seeds;
use crate::watch::{Target, watched};

/// Executions in every test run, and on demand.
struct Executions {
    quick: u64,
    slow: u64,
}

#[test]
fn pytorch_files() {
    fuzz(Target::Pth, &Executions { quick: 10_000, slow: 7_000_000 });
}

#[test]
fn safetensors_files() {
    fuzz(Target::Safetensors, &Executions { quick: 10_000, slow: 3_000_000 });
}

#[test]
fn idx_files() {
    fuzz(Target::Idx, &Executions { quick: 10_000, slow: 1_500_000 });
}

#[test]
fn configs_of_models() {
    fuzz(Target::Config, &Executions { quick: 10_000, slow: 3_000_000 });
}

#[test]
fn labels() {
    fuzz(Target::Labels, &Executions { quick: 10_000, slow: 3_000_000 });
}

#[test]
fn lists_of_lines() {
    fuzz(Target::Jsonl, &Executions { quick: 3_000, slow: 3_000_000 });
}

#[test]
fn lists_with_commas() {
    fuzz(Target::Csv, &Executions { quick: 3_000, slow: 3_000_000 });
}

#[test]
fn tar_shards() {
    fuzz(Target::Tar, &Executions { quick: 3_000, slow: 2_000_000 });
}

#[test]
fn parquet_files() {
    fuzz(Target::Parquet, &Executions { quick: 3_000, slow: 2_000_000 });
}

/// What earlier runs found interesting.
#[test]
fn kept_cases() {
    for target in [Target::Pth, Target::Safetensors, Target::Idx, Target::Config, Target::Labels] {
        let kept = seeds::kept(target);
        assert!(!kept.is_empty(), "{target:?}");
        for case in kept {
            watched(target, &case);
        }
    }
}

fn fuzz(target: Target, executions: &Executions) {
    // Beyond this the corpus only makes good seeds rarer.
    const MOST_KEPT: usize = 200;
    let slow = std::env::var_os("CCCM_SLOW_TESTS").is_some();
    let count = if slow { executions.slow } else { executions.quick };
    let Seeds { mut corpus, packed_pickles } = Seeds::of(target);
    let mut answers: BTreeSet<String> = corpus.iter().map(|case| watched(target, case)).collect();
    let seeds = corpus.len();
    let mut mutator = Mutator::new(target as u64, target.pieces());
    for _ in 0..count {
        let case = if mutator.one_in(3) && !packed_pickles.is_empty() {
            // A change within the pickle that leaves the archive around it whole.
            let pickle = mutator.mutated(&packed_pickles);
            seeds::archive(&pickle)
        } else {
            mutator.mutated(&corpus)
        };
        let answer = watched(target, &case);
        if corpus.len() < seeds + MOST_KEPT && answers.insert(answer) {
            corpus.push(case);
        }
    }
    assert!(answers.len() > 3, "{target:?}: {answers:?}");
    if let Some(dir) = std::env::var_os("CCCM_FUZZ_KEEP") {
        keep(Path::new(&dir), target, &corpus[seeds..]);
    }
}

fn keep(dir: &Path, target: Target, cases: &[Vec<u8>]) {
    let dir = dir.join(target.name());
    std::fs::create_dir_all(&dir).unwrap();
    for (index, case) in cases.iter().enumerate() {
        std::fs::write(dir.join(format!("{index:04}")), case).unwrap();
    }
}
