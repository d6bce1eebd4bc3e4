//! A report as files: tables, figures and pictures.

use std::path::{Path, PathBuf};

use anyhow::Result;
use cccm_render::{Figure, encode_png};
use cccm_run::write_atomically;

use crate::figures::{accuracy_figure, frechet_figure, pixels_figure, training_figure};
use crate::html::{Shown, page};
use crate::markdown::text;
use crate::models::Model;
use crate::pictures::{before_after, matrices};
use crate::rows::Report;

/// Whether a report says how long pictures took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Times {
    /// It does.
    Shown,
    /// It does not, as on a machine that had other things to do.
    Left,
}

/// The figures: name of each file, what it shows, what it holds.
struct Figures {
    files: Vec<(&'static str, &'static str, Contents)>,
}

enum Contents {
    Svg(String),
    Png(Vec<u8>),
}

/// Puts models side by side, in files: `report.md` and the same as `index.html`, `report.json`, figures and pictures. Gives the
/// path of `report.md`.
///
/// # Errors
/// When there are no scores or they are not to be compared, and those of the file system.
pub fn write_report(models: &[Model], folder: &Path, times: Times) -> Result<PathBuf> {
    let report = Report::new(models)?;
    let report = if times == Times::Left { report.without_times() } else { report };
    let figures = Figures::of(models, &report)?;
    figures.write(folder)?;
    let named = figures.files.iter().map(|(file, shows, _)| ((*file).to_owned(), (*shows).to_owned()));
    let markdown = folder.join("report.md");
    write_atomically(&markdown, text(&report, &named.collect::<Vec<_>>()).as_bytes())?;
    let shown = figures.files.iter().map(|(_, shows, contents)| match contents {
        Contents::Svg(svg) => (Shown::Svg(svg), *shows),
        Contents::Png(bytes) => (Shown::Png(bytes), *shows),
    });
    let shown: Vec<(Shown<'_>, &str)> = shown.collect();
    write_atomically(&folder.join("index.html"), page(&report, &shown).as_bytes())?;
    let json = serde_json::to_string_pretty(&report)? + "\n";
    write_atomically(&folder.join("report.json"), json.as_bytes())?;
    Ok(markdown)
}

impl Figures {
    fn of(models: &[Model], report: &Report) -> Result<Self> {
        let svg = |figure: Figure| Contents::Svg(figure.to_svg());
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
