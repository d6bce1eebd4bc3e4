//! `cccm dataset zappos50k`: the published tree of shoes as folders.

use std::io::Write;
use std::path::PathBuf;

use anyhow::Result;
use cccm_data::Arrangement;

use super::{TransferArgs, place};

/// Lay out UT-Zappos50K as folders, heel by kind of shoe
///
/// Takes ut-zap50k-images as it is downloaded. The folders of sandals, slippers and most shoes say whether
/// there is a heel. The folders of boots, loafers, oxfords, clogs and mules do not: with --metadata, their
/// shoes have a heel from 2 inches on and are flat below 1 inch. Shoes in between are left out and counted,
/// and without --metadata all shoes of these folders; so are babies' shoes. The folder appears when it is
/// complete; a run that is killed leaves .NAME.….partial beside it, which may be deleted.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Zappos50kArgs {
    /// The folder with Boots, Sandals, Shoes and Slippers
    #[arg(long, value_name = "DIR")]
    images: PathBuf,

    /// The file meta-data.csv of ut-zap50k-data, with the height of every heel; without it there are no boots
    #[arg(long, value_name = "FILE")]
    metadata: Option<PathBuf>,

    /// The folder to make; it must be empty or not exist
    #[arg(long, value_name = "DIR")]
    out: PathBuf,

    #[command(flatten)]
    transfer: TransferArgs,
}

impl Zappos50kArgs {
    pub(super) fn run(self, out: &mut dyn Write) -> Result<()> {
        let arrangement = Arrangement::zappos50k(&self.images, self.metadata.as_deref())?;
        place(&arrangement, &self.out, &self.transfer, out)
    }
}
