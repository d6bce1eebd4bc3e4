//! `cccm dataset export`: built-in data as folders of pictures.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::PathBuf;

use anyhow::{Result, bail};
use cccm_data::{
    CoindMnist, CoindMnistConfig, ColoredMnist, Combination, CombinationFilter, Dataset, Digits, MnistSplit,
    Preset, Shapes, ShapesConfig, Support, combination_counts, export,
};

use super::{combination_table, progress_bar};
use cccm_run::shell::quoted;

/// Stands for the pairs of Colored MNIST that are held out by custom.
const CUSTOMARY: &str = "customary";
/// Side of the pictures unless the flags say another.
const IMAGE_PX: usize = 32;
/// Flags for training on CoInD's digits: draws that keep the pairs as uneven as they are, and the sizes of
/// CoInD's network. These fit 28 pixels, which can be halved twice.
const COIND_TRAINING: &str = "--image-sampling shuffled --emb-size 56 --channel-mult 1 2 3 --norm-groups 8";

/// Write Colored MNIST, CoInD's Colored MNIST or drawn shapes as folders of PNG files
///
/// `train-teacher --data` reads the same pixels back (shapes: to half a grey level).
#[derive(Clone, Debug, clap::Args)]
pub(super) struct ExportArgs {
    #[arg(value_enum)]
    dataset: Exportable,

    /// The folder to make; it must be empty or not exist
    #[arg(long, value_name = "DIR")]
    out: PathBuf,

    /// Side of the pictures, in pixels [default: 32; coind-mnist: 28]
    #[arg(long, value_name = "PX")]
    img_size: Option<usize>,

    /// Pairs to leave out, as folder names; `customary` for those of Colored MNIST with (colour index + digit)
    /// divisible by 5 [default: none, so that training can hold out any]
    #[arg(long, value_name = "PAIR", num_args = 1..)]
    ignored: Vec<String>,

    /// Digits: folder of the official MNIST files [default: the built-in digits]
    #[arg(long, value_name = "DIR")]
    digits: Option<PathBuf>,

    /// Digits: which part of MNIST
    #[arg(long, value_enum, default_value_t = Split::Train)]
    split: Split,

    /// CoInD's Colored MNIST: which digits have which colours
    #[arg(long, value_enum, default_value_t = SupportName::Uniform)]
    support: SupportName,

    /// Shapes: pictures of each pair
    #[arg(long, value_name = "N", default_value_t = 500)]
    images_per_pair: usize,

    /// Seed of the positions, sizes and rotations of shapes, and of the colours of CoInD's digits
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Exportable {
    /// Digits in five colours, each digit in all of them
    ColoredMnist,
    /// Digits in ten colours, each digit in one of them, as CoInD was measured (Gaudi et al. 2025)
    CoindMnist,
    /// Six outlines in six colours
    Shapes,
    /// The same in two sizes, which are a third kind of labels
    SizedShapes,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum SupportName {
    /// Every digit in every colour
    Uniform,
    /// Half of the images as in partial, half as in uniform
    NonUniform,
    /// Every digit in two of the colours, so that 81 of 100 pairs have no image
    Partial,
}

impl From<SupportName> for Support {
    fn from(name: SupportName) -> Self {
        match name {
            SupportName::Uniform => Self::Uniform,
            SupportName::NonUniform => Self::NonUniform,
            SupportName::Partial => Self::Partial,
        }
    }
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
        let dataset = self.dataset()?;
        let bar = progress_bar(dataset.len());
        export(&*dataset, &self.out, &|done| bar.set_position(done as u64))?;
        bar.finish_and_clear();
        let counts = combination_counts(&*dataset);
        let count = |combination: &Combination| counts.get(combination).copied().unwrap_or(0);
        write!(out, "{}", combination_table(dataset.vocabulary(), count))?;
        let flags = match self.dataset {
            Exportable::ColoredMnist => format!("--preset {}", Preset::ColoredMnist),
            Exportable::CoindMnist => COIND_TRAINING.to_owned(),
            Exportable::Shapes => format!("--preset {}", Preset::Shapes),
            Exportable::SizedShapes => format!("--preset {}", Preset::SizedShapes),
        };
        tracing::info!(
            "train a teacher on it with\n  cccm train-teacher --data {} {flags} --img-size {}",
            quoted(self.out.display()),
            dataset.image_px(),
        );
        Ok(())
    }

    fn dataset(&self) -> Result<Box<dyn Dataset>> {
        Ok(match self.dataset {
            Exportable::ColoredMnist => {
                let combinations =
                    CombinationFilter::Except(self.ignored_combinations(Preset::ColoredMnist)?);
                Box::new(ColoredMnist::new(self.digits()?, self.img_size.unwrap_or(IMAGE_PX), &combinations)?)
            }
            Exportable::CoindMnist => {
                if !self.ignored.is_empty() {
                    bail!("--ignored is not for coind-mnist: --support says which pairs have images");
                }
                let config = CoindMnistConfig {
                    image_px: self.img_size.unwrap_or(Digits::PX),
                    support: self.support.into(),
                    seed: self.seed,
                };
                Box::new(CoindMnist::new(self.digits()?, &config)?)
            }
            Exportable::Shapes | Exportable::SizedShapes => {
                let sized = matches!(self.dataset, Exportable::SizedShapes);
                let preset = if sized { Preset::SizedShapes } else { Preset::Shapes };
                let config = ShapesConfig {
                    image_px: self.img_size.unwrap_or(IMAGE_PX),
                    images_per_combination: self.images_per_pair,
                    seed: self.seed,
                    sized,
                    combinations: CombinationFilter::Except(self.ignored_combinations(preset)?),
                };
                Box::new(Shapes::new(&config)?)
            }
        })
    }

    fn ignored_combinations(&self, preset: Preset) -> Result<BTreeSet<Combination>> {
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
