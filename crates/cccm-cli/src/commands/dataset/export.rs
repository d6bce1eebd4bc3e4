//! `cccm dataset export`: built-in data as folders of pictures.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::PathBuf;

use anyhow::{Result, bail};
use cccm_data::{
    ColoredMnist, Dataset, Digits, MnistSplit, Pair, PairFilter, Preset, Shapes, ShapesConfig, export,
    pair_counts,
};

use super::{pair_table, progress_bar};
use crate::shell::quoted;

/// Stands for the pairs of Colored MNIST that are held out by custom.
const CUSTOMARY: &str = "customary";

/// Write Colored MNIST or drawn shapes as folders of PNG files
///
/// `train-teacher --data` reads the same pixels back (shapes: to half a grey level).
#[derive(Clone, Debug, clap::Args)]
pub(super) struct ExportArgs {
    #[arg(value_enum)]
    dataset: Exportable,

    /// The folder to make; it must not exist, or be empty
    #[arg(long, value_name = "DIR")]
    out: PathBuf,

    /// Side of the pictures, in pixels
    #[arg(long, value_name = "PX", default_value_t = 32)]
    img_size: usize,

    /// Pairs to leave out, as folder names; `customary` for those of Colored MNIST with (colour index + digit)
    /// divisible by 5 [default: none, so that training can hold out any]
    #[arg(long, value_name = "PAIR", num_args = 1..)]
    ignored: Vec<String>,

    /// Colored MNIST: folder of the official MNIST files [default: the built-in digits]
    #[arg(long, value_name = "DIR")]
    digits: Option<PathBuf>,

    /// Colored MNIST: which part of MNIST
    #[arg(long, value_enum, default_value_t = Split::Train)]
    split: Split,

    /// Shapes: pictures of each pair
    #[arg(long, value_name = "N", default_value_t = 500)]
    images_per_pair: usize,

    /// Shapes: what their places, sizes and rotations are drawn from
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Exportable {
    /// Digits in five colours
    ColoredMnist,
    /// Six outlines in six colours
    Shapes,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Split {
    /// Digits to train with
    Train,
    /// Digits of other writers, to judge with
    Test,
}

impl ExportArgs {
    pub(super) fn run(self, out: &mut dyn Write) -> Result<()> {
        let (preset, dataset) = self.dataset()?;
        let bar = progress_bar(dataset.len());
        export(&*dataset, &self.out, &|done| bar.set_position(done as u64))?;
        bar.finish_and_clear();
        let counts = pair_counts(&*dataset);
        let count = |pair| counts.get(&pair).copied().unwrap_or(0);
        write!(out, "{}", pair_table(dataset.vocabulary(), count))?;
        tracing::info!(
            "train a teacher on it with\n  cccm train-teacher --data {} --preset {preset} --img-size {}",
            quoted(self.out.display()),
            self.img_size
        );
        Ok(())
    }

    fn dataset(&self) -> Result<(Preset, Box<dyn Dataset>)> {
        Ok(match self.dataset {
            Exportable::ColoredMnist => {
                let pairs = PairFilter::Except(self.ignored_pairs(Preset::ColoredMnist)?);
                let dataset = ColoredMnist::new(self.digits()?, self.img_size, &pairs)?;
                (Preset::ColoredMnist, Box::new(dataset))
            }
            Exportable::Shapes => {
                let config = ShapesConfig {
                    image_px: self.img_size,
                    images_per_pair: self.images_per_pair,
                    seed: self.seed,
                    pairs: PairFilter::Except(self.ignored_pairs(Preset::Shapes)?),
                };
                (Preset::Shapes, Box::new(Shapes::new(&config)?))
            }
        })
    }

    fn ignored_pairs(&self, preset: Preset) -> Result<BTreeSet<Pair>> {
        if self.ignored != [CUSTOMARY] {
            return Ok(preset.vocabulary().parse_folders(&self.ignored)?);
        }
        match preset {
            Preset::ColoredMnist => Ok(ColoredMnist::held_out()),
            _ => bail!("--ignored {CUSTOMARY} is for colored-mnist: name pairs, as in red_Circle"),
        }
    }

    fn digits(&self) -> Result<Digits> {
        let split = match self.split {
            Split::Train => MnistSplit::Train,
            Split::Test => MnistSplit::Test,
        };
        Ok(match (&self.digits, split) {
            (Some(dir), split) => Digits::from_dir(dir, split)?,
            (None, MnistSplit::Train) => {
                Digits::from_idx(cccm_assets::MNIST_TRAIN_IMAGES, cccm_assets::MNIST_TRAIN_LABELS)?
            }
            (None, MnistSplit::Test) => {
                Digits::from_idx(cccm_assets::MNIST_TEST_IMAGES, cccm_assets::MNIST_TEST_LABELS)?
            }
        })
    }
}
