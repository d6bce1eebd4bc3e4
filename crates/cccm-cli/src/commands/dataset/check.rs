//! `cccm dataset check`: whether a folder can be trained on.

use std::io::Write;

use anyhow::{Result, bail};
use cccm::local_data;
use cccm_data::{Digits, FolderCheck, FolderReport, MnistSplit, Sameness, Spread, Subfolders};
use cccm_run::shell::quoted;

use super::digits::{self, Form};
use super::{combination_table, progress_bar};
use crate::args::LabelArgs;

/// How many of many names are printed; --json has them all.
const SHOWN: usize = 10;
/// Sides of images to suggest.
const IMAGE_SIZES: [u32; 3] = [64, 32, 16];

/// Look over a folder of images: labels, sizes, broken files, duplicates
///
/// Decodes every file. Exits with 1 when there are files that cannot be decoded or folders whose names are no labels. Labels that
/// are not given are those of the preset that most folders fit, else what their names spell.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct CheckArgs {
    /// What --data of training takes: folders, a list beside images, shards, a data set on the Hub, or the files of MNIST
    #[arg(value_name = "DIR")]
    folder: String,

    #[command(flatten)]
    labels: LabelArgs,

    /// Look over images in sub-folders of the folders too
    #[arg(long)]
    recursive: bool,

    /// Count images as duplicates when their pixels are the same, not only their files
    #[arg(long)]
    pixels: bool,

    /// Print everything as one JSON object
    #[arg(long)]
    json: bool,
}

impl CheckArgs {
    pub(super) fn run(self, out: &mut dyn Write) -> Result<()> {
        let folder = local_data(&self.folder)?;
        if Digits::are_in(&folder, MnistSplit::Train) {
            let form = if self.json { Form::Json } else { Form::Table };
            return digits::check(&folder, form, out);
        }
        let subfolders = if self.recursive { Subfolders::Read } else { Subfolders::PassedOver };
        let check = FolderCheck::list(&folder, &self.labels.known()?.unwrap_or_default(), subfolders)?;
        let bar = progress_bar(check.len());
        let sameness = if self.pixels { Sameness::Pixels } else { Sameness::Files };
        let report = check.run(sameness, &|done| bar.set_position(done as u64));
        bar.finish_and_clear();
        if self.json {
            writeln!(out, "{}", serde_json::to_string(&report)?)?;
        } else {
            print(&report, out)?;
        }
        if !report.is_sound() {
            bail!(
                "{} can be trained on when this is mended: {} files that cannot be decoded, {} folders that are no \
                 {}{}, {} images that can",
                &self.folder,
                report.unreadable.len(),
                report.unknown_folders.len(),
                report.vocabulary.noun(),
                if report.look_alikes.is_some() { ", labels that look alike" } else { "" },
                report.images
            );
        }
        tracing::info!("train a teacher on it with\n  {}", self.next_command(&report));
        Ok(())
    }

    fn next_command(&self, report: &FolderReport) -> String {
        let mut words = vec!["cccm train-teacher --data".to_owned(), quoted(&self.folder)];
        if self.recursive {
            words.push("--recursive".to_owned());
        }
        words.extend(self.labels.words(report.preset));
        words.push(format!("--img-size {}", image_size(report)));
        // Pairs without images are held out anyway.
        if report.empty_combinations().next().is_none()
            && let Some(combination) = report.combination_to_hold_out()
        {
            words.push(format!("--ignored {}", quoted(report.vocabulary.folder_name(&combination))));
        }
        words.join(" ")
    }
}

/// The largest size that most images are not enlarged to.
fn image_size(report: &FolderReport) -> u32 {
    let median = |spread: Option<Spread>| spread.map_or(0, |spread| spread.median);
    let side = median(report.width).min(median(report.height));
    IMAGE_SIZES.into_iter().find(|&size| size <= side).unwrap_or(IMAGE_SIZES[IMAGE_SIZES.len() - 1])
}

fn print(report: &FolderReport, out: &mut dyn Write) -> Result<()> {
    write!(out, "{}", combination_table(&report.vocabulary, |combination| report.count(combination)))?;
    if let (Some(width), Some(height)) = (report.width, report.height) {
        writeln!(out, "\nwidth   {}\nheight  {}", spread(width), spread(height))?;
    }
    let empty: Vec<String> =
        report.empty_combinations().map(|combination| report.vocabulary.folder_name(&combination)).collect();
    let noun = report.vocabulary.noun();
    list(out, &format!("{noun}s without images"), &empty)?;
    let unknown = report.unknown_folders.iter().map(|folder| match &folder.nearest {
        Some(nearest) => format!("{}: did you mean `{nearest}`?", folder.path),
        None => format!("{}: {}", folder.path, folder.problem),
    });
    list(out, &format!("folders that are no {noun}"), &unknown.collect::<Vec<_>>())?;
    let unreadable = report.unreadable.iter().map(|image| format!("{}: {}", image.path, image.problem));
    list(out, "files that cannot be decoded", &unreadable.collect::<Vec<_>>())?;
    let duplicates = report.duplicates.iter().map(|paths| same(paths));
    list(out, "images that are the same", &duplicates.collect::<Vec<_>>())?;
    if report.stray_images > 0 {
        writeln!(
            out,
            "\n{} images without labels, beside folders or in a list, which are not read",
            report.stray_images
        )?;
    }
    if !report.passed_over.is_empty() {
        let hint = if report.passed_over.in_subfolders > 0 { "; --recursive reads sub-folders" } else { "" };
        writeln!(out, "\npassed over: {}{hint}", report.passed_over)?;
    }
    if report.turned > 0 {
        writeln!(
            out,
            "\n{} images are stored turned, by their EXIF orientation, and seen so; --upright of training turns them",
            report.turned
        )?;
    }
    if let Some(look_alikes) = &report.look_alikes {
        writeln!(out, "\n{look_alikes}")?;
    }
    Ok(())
}

fn spread(Spread { min, median, max }: Spread) -> String {
    format!("{min} to {max} px, median {median}")
}

/// The first of images that are the same.
fn same(paths: &[String]) -> String {
    const SHOWN: usize = 3;
    let first = paths[..SHOWN.min(paths.len())].join(" = ");
    if paths.len() > SHOWN { format!("{first} = {} more", paths.len() - SHOWN) } else { first }
}

fn list(out: &mut dyn Write, title: &str, items: &[String]) -> Result<()> {
    if items.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n{} {title}", items.len())?;
    for item in items.iter().take(SHOWN) {
        writeln!(out, "  {item}")?;
    }
    if items.len() > SHOWN {
        writeln!(out, "  … {} more: see --json", items.len() - SHOWN)?;
    }
    Ok(())
}
