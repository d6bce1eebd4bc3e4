//! `metrics.jsonl` as curves.

use std::path::Path;

use anyhow::{Context, Result};
use serde::Deserialize;

/// Pieces of a training, at most: losses are noisy, shares are not.
const LOSS_PIECES: usize = 50;
const SHARE_PIECES: usize = 400;

/// The steps of a training.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Curve {
    steps: Vec<Logged>,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
struct Logged {
    step: u64,
    /// Absent where it was not finite.
    loss: Option<f64>,
    c_t: Option<f64>,
}

impl Curve {
    /// Reads the file of a run; a last line that is still being written is no part of it.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let text =
            std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        let parsed = whole.lines().enumerate().map(|(number, line)| {
            serde_json::from_str(line).with_context(|| {
                format!("line {} of {} is damaged: remove that line", number + 1, path.display())
            })
        });
        Ok(Self { steps: parsed.collect::<Result<_>>()? })
    }

    /// Step and mean loss of equal pieces of the training.
    pub(crate) fn loss(&self) -> Vec<(f64, f64)> {
        self.pieces(LOSS_PIECES, |step| step.loss)
    }

    /// Step and `c_t`, where there is one.
    pub(crate) fn c_t(&self) -> Vec<(f64, f64)> {
        self.pieces(SHARE_PIECES, |step| step.c_t)
    }

    fn pieces(&self, count: usize, of: impl Fn(&Logged) -> Option<f64>) -> Vec<(f64, f64)> {
        let points: Vec<(f64, f64)> =
            self.steps.iter().filter_map(|step| Some((step.step as f64, of(step)?))).collect();
        let size = points.len().div_ceil(count).max(1);
        let mean = |piece: &[(f64, f64)]| {
            let sum = piece.iter().fold((0.0, 0.0), |(x, y), point| (x + point.0, y + point.1));
            (sum.0 / piece.len() as f64, sum.1 / piece.len() as f64)
        };
        points.chunks(size).map(mean).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Curve> {
        let dir = tempfile::tempdir()?;
        let path = dir.path().join("metrics.jsonl");
        std::fs::write(&path, text)?;
        Curve::read(&path)
    }

    #[test]
    fn curves_are_means_of_pieces() -> Result<()> {
        let line = |step: u64| format!("{{\"step\":{step},\"loss\":{step},\"c_t\":null,\"lr\":1}}\n");
        let curve = read(&(1..=100).map(line).collect::<String>())?;
        let loss = curve.loss();
        assert_eq!((loss.len(), loss[0], loss[49]), (50, (1.5, 1.5), (99.5, 99.5)));
        assert!(curve.c_t().is_empty());
        Ok(())
    }

    #[test]
    fn unfinished_and_damaged_lines() -> Result<()> {
        let text =
            "{\"step\":1,\"loss\":null,\"c_t\":0.5}\n{\"step\":2,\"loss\":3.0,\"c_t\":0.5}\n{\"step\":3,\"lo";
        let curve = read(text)?;
        assert_eq!((curve.loss(), curve.c_t().len()), (vec![(2.0, 3.0)], 2));
        assert!(read("")?.loss().is_empty());
        let refused = read("{\"step\":1}\nnonsense\n").unwrap_err().to_string();
        assert!(refused.contains("line 2 of ") && refused.contains("metrics.jsonl"), "{refused}");
        Ok(())
    }

    #[test]
    fn whatever_is_in_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("metrics.jsonl");
        let lines = "{\"step\":1,\"loss\":0.5,\"c_t\":null}\n{\"step\":2,\"loss\":null,\"c_t\":0.1}\n\
                     {\"step\":2,\"eval\":{\"frechet\":1.5}}\n{\"step\":3,\"loss\":0.25,\"c_t\":0.2}\n";
        cccm_tests::fuzz_texts("curves", &[lines, "\nnot ours\n{\"step\":7", ""], 5_000, |bytes| {
            std::fs::write(&path, bytes).unwrap();
            Curve::read(&path).map_or_else(
                |error| error.to_string().split(':').next().unwrap_or_default().len().to_string(),
                |curve| format!("{} {}", curve.loss().len().min(3), curve.c_t().len().min(3)),
            )
        });
    }
}
