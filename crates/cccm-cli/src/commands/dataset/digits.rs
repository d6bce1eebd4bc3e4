//! `cccm dataset check` of the files of MNIST.

use std::io::Write;
use std::path::Path;

use anyhow::Result;
use cccm_data::{Digits, Error, MnistSplit};
use cccm_run::shell::quoted;

/// How results are printed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Table,
    Json,
}

/// Reads the digits, and tells how many there are of each.
pub(super) fn check(folder: &Path, form: Form, out: &mut dyn Write) -> Result<()> {
    let train = counts(&Digits::from_dir(folder, MnistSplit::Train)?);
    let test = match Digits::from_dir(folder, MnistSplit::Test) {
        Ok(digits) => counts(&digits),
        Err(Error::MissingDigits { .. }) => [0; Digits::CLASSES],
        Err(error) => return Err(error.into()),
    };
    if form == Form::Json {
        writeln!(out, "{}", serde_json::json!({"format": "mnist", "train": train, "test": test}))?;
    } else {
        writeln!(out, "MNIST digits, which training sees as Colored MNIST\n\ndigit  train   test")?;
        for (digit, (train, test)) in train.iter().zip(test).enumerate() {
            writeln!(out, "{digit:>5} {train:>6} {test:>6}")?;
        }
        let [train, test] = [train, test].map(|counts| counts.iter().sum::<usize>());
        writeln!(out, "total {train:>6} {test:>6}")?;
    }
    if test == [0; Digits::CLASSES] {
        tracing::warn!("there are no digits to test with (t10k-…), which `cccm eval` needs");
    }
    tracing::info!("train a teacher on it with\n  cccm train-teacher --data {}", quoted(folder.display()));
    Ok(())
}

fn counts(digits: &Digits) -> [usize; Digits::CLASSES] {
    let mut counts = [0; Digits::CLASSES];
    (0..digits.len()).for_each(|index| counts[usize::from(digits.class(index))] += 1);
    counts
}
