//! `cccm dataset`: folders of images, made and looked over.

mod celeba;
mod check;
mod digits;
mod export;
mod table;
mod zappos50k;

use std::io::Write;
use std::path::Path;

use anyhow::{Result, bail};
use cccm_data::{Arrangement, Combination, Conversion, Transfer};
use indicatif::{ProgressBar, ProgressStyle};

use cccm_run::shell::quoted;
use table::combination_table;

/// Lay out, look over and write folders of images
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct DatasetArgs {
    #[command(subcommand)]
    command: DatasetCommand,
}

#[derive(Clone, Debug, clap::Subcommand)]
enum DatasetCommand {
    Celeba(celeba::CelebaArgs),
    Zappos50k(zappos50k::Zappos50kArgs),
    Check(check::CheckArgs),
    Export(export::ExportArgs),
}

impl DatasetArgs {
    /// Does what the subcommand says.
    pub(crate) fn run(self, out: &mut dyn Write) -> Result<()> {
        match self.command {
            DatasetCommand::Celeba(args) => args.run(out),
            DatasetCommand::Zappos50k(args) => args.run(out),
            DatasetCommand::Check(args) => args.run(out),
            DatasetCommand::Export(args) => args.run(out),
        }
    }
}

/// How images get into the new folders.
#[derive(Clone, Debug, clap::Args)]
struct TransferArgs {
    /// Link instead of copying: hard links, which take no space and stay when the download is deleted; symbolic links
    /// where the system allows no others
    #[arg(long, conflicts_with_all = ["crop", "img_size"])]
    link: bool,

    /// Cut a square of this side out of the middle, and write PNG files
    #[arg(long, value_name = "PX")]
    crop: Option<usize>,

    /// Stretch to a square of this side, after cutting, and write PNG files
    #[arg(long, value_name = "PX")]
    img_size: Option<usize>,
}

impl TransferArgs {
    fn transfer(&self) -> Transfer {
        match (self.link, self.crop, self.img_size) {
            (true, ..) => Transfer::Link,
            (false, None, None) => Transfer::Copy,
            (false, crop_px, image_px) => Transfer::Convert(Conversion { crop_px, image_px }),
        }
    }
}

/// Makes the folders of an arrangement, and prints how many images are in which.
fn place(
    arrangement: &Arrangement,
    target: &Path,
    transfer: &TransferArgs,
    out: &mut dyn Write,
) -> Result<()> {
    for (reason, count) in arrangement.dropped() {
        tracing::info!("left out: {count} images, {reason}");
    }
    if arrangement.is_empty() {
        bail!("no image is left");
    }
    let bar = progress_bar(arrangement.len());
    let placed = arrangement.place(target, &transfer.transfer(), &|done| bar.set_position(done as u64))?;
    bar.finish_and_clear();
    if placed.symbolic_links > 0 {
        tracing::warn!(
            "{} of the images are symbolic links: leave the originals where they are",
            placed.symbolic_links
        );
    }
    let counts = arrangement.combination_counts();
    let count = |combination: &Combination| counts.get(combination).copied().unwrap_or(0);
    write!(out, "{}", combination_table(arrangement.vocabulary(), count))?;
    tracing::info!("look it over with\n  cccm dataset check {}", quoted(target.display()));
    Ok(())
}

/// A bar that shows on a terminal only.
fn progress_bar(len: usize) -> ProgressBar {
    let bar = ProgressBar::new(len as u64);
    if let Ok(style) = ProgressStyle::with_template("{bar:40} {pos}/{len} images, {eta} left") {
        bar.set_style(style);
    }
    bar
}
