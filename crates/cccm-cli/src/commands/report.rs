//! `cccm report`: models side by side, in tables and figures.

#![expect(clippy::doc_markdown, reason = "help texts are read in a terminal")]

use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::comparison::{
    Found, Model, Report, Shown, accuracy_figure, before_after, find, frechet_figure, matrices, models, page,
    pixels_figure, text, training_figure,
};
use crate::files::write_atomically;
use crate::report::encode_png;

/// Put models side by side: tables and figures of their scores and of their training
///
/// Reads what `cccm eval` and training wrote, draws and computes nothing anew. Runs that differ in nothing but --seed are
/// one row, with the spread over them. Writes report.md and the same as index.html, report.json, accuracy.svg, frechet.svg,
/// pixels.svg, training.svg, matrix.png and before_after.png.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct ReportArgs {
    /// Runs with scores, folders of runs, or folders that `cccm eval --out` wrote; with a name for the row, if it is not
    /// to be that of the folder
    #[arg(value_name = "[NAME=]PATH", required = true)]
    paths: Vec<String>,

    /// Where the report goes; what an older one left there is replaced
    #[arg(long, value_name = "DIR")]
    out: PathBuf,

    /// Leave out the times, as those of a machine that had other things to do
    #[arg(long)]
    untimed: bool,
}

/// The figures: name of each file, what it shows, what it holds.
struct Figures {
    files: Vec<(&'static str, &'static str, Contents)>,
}

enum Contents {
    Svg(String),
    Png(Vec<u8>),
}

impl ReportArgs {
    /// Reports.
    pub(crate) fn run(self, out: &mut dyn Write) -> Result<()> {
        let mut seen = BTreeSet::new();
        let named = self.paths.iter().map(|path| {
            let (name, path) = name_and_path(path);
            let mut found = find(path)?;
            // The paths may lie in each other; who comes first names.
            found.retain(|found| seen.insert(found.place()));
            Ok((name, found))
        });
        let models = models(named.collect::<Result<Vec<(Option<String>, Vec<Found>)>>>()?)?;
        let mut report = Report::new(&models)?;
        if self.untimed {
            report = report.without_times();
        }
        let figures = Figures::of(&models, &report)?;
        figures.write(&self.out)?;
        let named = figures.files.iter().map(|(file, shows, _)| ((*file).to_owned(), (*shows).to_owned()));
        write_atomically(&self.out.join("report.md"), text(&report, &named.collect::<Vec<_>>()).as_bytes())?;
        let shown = figures.files.iter().map(|(_, shows, contents)| match contents {
            Contents::Svg(svg) => (Shown::Svg(svg), *shows),
            Contents::Png(bytes) => (Shown::Png(bytes), *shows),
        });
        let shown: Vec<(Shown<'_>, &str)> = shown.collect();
        write_atomically(&self.out.join("index.html"), page(&report, &shown).as_bytes())?;
        let json = serde_json::to_string_pretty(&report)? + "\n";
        write_atomically(&self.out.join("report.json"), json.as_bytes())?;
        writeln!(out, "{}", self.out.join("report.md").display())?;
        Ok(())
    }
}

/// A name before the path, if what stands before the first `=` can be one; a path that exists is a path.
fn name_and_path(typed: &str) -> (Option<String>, &Path) {
    match typed.split_once('=') {
        Some((name, path)) if !name.is_empty() && !name.contains('/') && !Path::new(typed).exists() => {
            (Some(name.to_owned()), Path::new(path))
        }
        _ => (None, Path::new(typed)),
    }
}

impl Figures {
    fn of(models: &[Model], report: &Report) -> Result<Self> {
        let svg = |figure: crate::plot::Figure| Contents::Svg(figure.to_svg());
        let png = |picture| Ok::<_, anyhow::Error>(Contents::Png(encode_png(&picture, &[])?));
        let all = [
            (
                "accuracy.svg",
                "Accuracy on seen (filled) and unseen pairs (hollow) against network evaluations",
                Some(svg(accuracy_figure(report))),
            ),
            (
                "frechet.svg",
                "Fréchet distance from real images of seen (filled) and unseen pairs (hollow) against network \
                 evaluations",
                Some(svg(frechet_figure(report))),
            ),
            (
                "pixels.svg",
                "Fréchet distance of pixels from real images of seen (filled) and unseen pairs (hollow) against network \
                 evaluations",
                pixels_figure(report).map(svg),
            ),
            (
                "training.svg",
                "Loss, as mean over pieces of the training, and the teacher's share c_t",
                training_figure(models, report).map(svg),
            ),
            (
                "before_after.png",
                "The same pairs from the same noise by every model; spread evenly over unseen (framed) and seen pairs, \
                 none chosen by hand",
                before_after(models)?.map(png).transpose()?,
            ),
            (
                "matrix.png",
                "Every pair by every model, the first picture of each; pairs that no training image shows are framed",
                matrices(models)?.map(png).transpose()?,
            ),
        ];
        let files = all.into_iter().filter_map(|(file, shows, contents)| Some((file, shows, contents?)));
        Ok(Self { files: files.collect() })
    }

    fn write(&self, folder: &Path) -> Result<()> {
        for (file, _, contents) in &self.files {
            let bytes = match contents {
                Contents::Svg(svg) => svg.as_bytes(),
                Contents::Png(bytes) => bytes,
            };
            write_atomically(&folder.join(file), bytes)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stand_before_paths() {
        let split = |typed| {
            let (name, path) = name_and_path(typed);
            (name, path.to_string_lossy().into_owned())
        };
        assert_eq!(split("runs/a"), (None, "runs/a".to_owned()));
        assert_eq!(split("the teacher=runs/a=b"), (Some("the teacher".to_owned()), "runs/a=b".to_owned()));
        assert_eq!(split("runs/lr=1/a"), (None, "runs/lr=1/a".to_owned()));
        assert_eq!(split("=a"), (None, "=a".to_owned()));
    }
}
