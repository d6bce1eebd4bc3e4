//! Real images of every pair: those to learn from and compare with, and others to test with.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use candle_core::{Device, Tensor};
use cccm_data::{
    ColoredMnist, Dataset, Digits, FolderConfig, FolderDataset, MnistSplit, Pair, PairFilter, Preset, Shapes,
    ShapesConfig, Subset, Vocabulary,
};
use rayon::prelude::*;
use toml::Table;

use crate::args::DataArgs;
use crate::run_dir::CONFIG;
use crate::settings::{PROVENANCE, lay_over};
use crate::source::{Place, fixed_vocabulary, held_out, mnist_held_out, named_vocabulary, on_bad_image};

/// Where the data have no images for testing, every tenth of a pair is one.
const TEST_EVERY: usize = 10;
/// Pictures of each pair of shapes, and the seed of those to test with; training has seed 0.
const SHAPES_PER_PAIR: usize = 100;
const SHAPES_TEST_SEED: u64 = 1;

/// Real images of every pair, held-out pairs among them where the data have those.
pub(crate) struct RealImages {
    pub(crate) train: Arc<dyn Dataset>,
    /// Shares no image with `train`.
    pub(crate) test: Arc<dyn Dataset>,
    /// What generators of these data learn from, but for the held-out pairs: of folders all images, `test` among them.
    pub(crate) learnt: Arc<dyn Dataset>,
    /// Pairs that generators did not see.
    pub(crate) held_out: BTreeSet<Pair>,
}

impl RealImages {
    /// Opens what the flags name, in the labels and the size of a model.
    pub(crate) fn open(args: &DataArgs, labels: &Vocabulary, image_px: usize) -> Result<Self> {
        let place = Place::of(args)?;
        let found = match place {
            Place::BuiltinDigits | Place::Mnist(_) => fixed_vocabulary(args, Preset::ColoredMnist)?,
            Place::BuiltinShapes => fixed_vocabulary(args, Preset::Shapes)?,
            Place::Folder(_) => named_vocabulary(args)?.unwrap_or_else(|| labels.clone()),
        };
        if found != *labels {
            bail!(
                "the data's labels ({}; {}) are not the model's ({}; {}): --data names the images it was trained on",
                found.attributes.join(" "),
                found.objects.join(" "),
                labels.attributes.join(" "),
                labels.objects.join(" "),
            );
        }
        match place {
            Place::BuiltinDigits => {
                let train =
                    Digits::from_idx(cccm_assets::MNIST_TRAIN_IMAGES, cccm_assets::MNIST_TRAIN_LABELS)?;
                let test = Digits::from_idx(cccm_assets::MNIST_TEST_IMAGES, cccm_assets::MNIST_TEST_LABELS)?;
                Self::colored_mnist(args, labels, [train, test], image_px)
            }
            Place::Mnist(folder) => {
                let [train, test] =
                    [MnistSplit::Train, MnistSplit::Test].map(|split| Digits::from_dir(folder, split));
                Self::colored_mnist(args, labels, [train?, test?], image_px)
            }
            Place::BuiltinShapes => {
                let shapes = |seed| -> Result<Arc<dyn Dataset>> {
                    let images_per_pair = SHAPES_PER_PAIR;
                    let pairs = PairFilter::all();
                    let config = ShapesConfig { image_px, images_per_pair, seed, pairs };
                    Ok(Arc::new(Shapes::new(&config)?))
                };
                let held_out = held_out(args, labels)?;
                Ok(Self::fresh_test(shapes(0)?, shapes(SHAPES_TEST_SEED)?, held_out))
            }
            Place::Folder(root) => Self::folder(args, root, labels, image_px),
        }
    }

    fn colored_mnist(
        args: &DataArgs,
        labels: &Vocabulary,
        digits: [Digits; 2],
        image_px: usize,
    ) -> Result<Self> {
        let held_out = mnist_held_out(args, labels)?;
        let [train, test] =
            digits.map(|digits| ColoredMnist::new(digits, image_px, &PairFilter::all()).map(Arc::new));
        Ok(Self::fresh_test(train?, test?, held_out))
    }

    fn folder(args: &DataArgs, root: &Path, labels: &Vocabulary, image_px: usize) -> Result<Self> {
        let held_out = held_out(args, labels)?;
        let config = FolderConfig {
            vocabulary: labels.clone(),
            image_px,
            pairs: PairFilter::all(),
            on_bad_image: on_bad_image(args),
        };
        let learnt = Arc::new(FolderDataset::open(root, &config)?);
        let (train, test) = Subset::split(Arc::clone(&learnt) as Arc<dyn Dataset>, TEST_EVERY)?;
        Ok(Self { train: Arc::new(train), test: Arc::new(test), learnt, held_out })
    }

    /// Of data whose images for testing nobody learns from.
    fn fresh_test(train: Arc<dyn Dataset>, test: Arc<dyn Dataset>, held_out: BTreeSet<Pair>) -> Self {
        Self { learnt: Arc::clone(&train), train, test, held_out }
    }
}

/// The data flags, over those of the run that a model is from, if it is from one.
/// - `model`: a run, or what lies in one: `model/`, a checkpoint, a file of these
pub(crate) fn data_of_run(model: &Path, given: &DataArgs) -> Result<DataArgs> {
    const LEVELS: usize = 3;
    let mut settings = Table::new();
    for path in model.ancestors().take(LEVELS).map(|folder| folder.join(CONFIG)).filter(|path| path.is_file())
    {
        let text =
            std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let found: Table =
            text.parse().with_context(|| format!("cannot use the settings in {}", path.display()))?;
        if found.contains_key(PROVENANCE) {
            settings = found;
            break;
        }
    }
    let known = <DataArgs as clap::Args>::augment_args(clap::Command::new(""));
    settings.retain(|name, _| known.get_arguments().any(|arg| arg.get_id().as_str() == name));
    let given = Table::try_from(given)?;
    if given.contains_key("data") {
        // Of images elsewhere, the model has still not seen these pairs.
        settings.retain(|name, _| name == "ignored");
    }
    Ok(lay_over(settings, given).try_into()?)
}

/// The images of a dataset in a row, `(n, 3, px, px)`, `f32` in `[-1, 1]`.
pub(crate) fn load(dataset: &dyn Dataset, images: &[usize]) -> Result<Tensor> {
    let px = dataset.image_px();
    let mut values = vec![0f32; images.len() * 3 * px * px];
    let items = values.par_chunks_mut((3 * px * px).max(1)).zip(images);
    items.try_for_each(|(image, index)| dataset.load(*index, image))?;
    Ok(Tensor::from_vec(values, (images.len(), 3, px, px), &Device::Cpu)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_that_are_given_win_over_the_preset_of_a_run() -> Result<()> {
        let run = tempfile::tempdir()?;
        std::fs::write(run.path().join(CONFIG), "preset = 'celeba'\n[run]\ncommand = 'train'")?;
        let labels = |names: &[&str]| Some(names.iter().map(ToString::to_string).collect());
        let given = DataArgs { attributes: labels(&["a"]), objects: labels(&["b"]), ..DataArgs::default() };
        let data = data_of_run(run.path(), &given)?;
        assert_eq!((data.preset, data.attributes), (None, given.attributes));
        assert_eq!(data_of_run(run.path(), &DataArgs::default())?.preset, Some(Preset::Celeba));
        Ok(())
    }

    /// A generator of folders learns from the images for testing as well, so that copies are looked for among them.
    #[test]
    fn generators_of_folders_learn_from_all_images() -> Result<()> {
        let dir = tempfile::tempdir()?;
        for name in ["red_boat", "blue_car"] {
            let folder = dir.path().join(name);
            std::fs::create_dir(&folder)?;
            for number in 0..10 {
                let pixel = image::Rgb([number * 20; 3]);
                image::RgbImage::from_pixel(8, 8, pixel).save(folder.join(format!("{number}.png")))?;
            }
        }
        let data = DataArgs { data: Some(dir.path().display().to_string()), ..DataArgs::default() };
        let real = RealImages::open(&data, &Vocabulary::discover(dir.path())?, 8)?;
        assert_eq!((real.train.len(), real.test.len(), real.learnt.len()), (18, 2, 20));
        let shapes = DataArgs { data: Some("builtin:shapes".to_owned()), ..DataArgs::default() };
        let real = RealImages::open(&shapes, &Preset::Shapes.vocabulary(), 8)?;
        assert_eq!(real.learnt.len(), real.train.len());
        Ok(())
    }
}
