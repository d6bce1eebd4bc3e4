//! `cccm dataset celeba`: the official download as folders.

#![expect(clippy::doc_markdown, reason = "help texts are read in a terminal")]

use std::io::Write;
use std::path::PathBuf;

use anyhow::Result;
use cccm_data::{Arrangement, OnBadImage};

use super::{TransferArgs, place};

/// Lay out CelebA as folders, hair colour by gender
///
/// Takes img_align_celeba and list_attr_celeba.txt as they are downloaded. Faces with no or several of the hair
/// colours black, blond, brown and grey are left out and counted. The folder appears when it is complete; a run that
/// is killed leaves .NAME.….partial beside it, which may be deleted.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct CelebaArgs {
    /// The folder of 000001.jpg and so on, or the one that holds it as img_align_celeba
    #[arg(long, value_name = "DIR")]
    images: PathBuf,

    /// The file list_attr_celeba.txt, or list_attr_celeba.csv
    #[arg(long, value_name = "FILE")]
    attributes: PathBuf,

    /// The folder to make; it must be empty or not exist
    #[arg(long, value_name = "DIR")]
    out: PathBuf,

    #[command(flatten)]
    transfer: TransferArgs,

    /// Skip and count images that are listed but missing, instead of stopping
    #[arg(long)]
    skip_missing: bool,
}

impl CelebaArgs {
    pub(super) fn run(self, out: &mut dyn Write) -> Result<()> {
        let on_missing = if self.skip_missing { OnBadImage::Skip } else { OnBadImage::Stop };
        let arrangement = Arrangement::celeba(&self.images, &self.attributes, on_missing)?;
        place(&arrangement, &self.out, &self.transfer, out)
    }
}
