//! Real images of every combination: those to learn from and compare with, and others to test with.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use cccm_data::{
    ColoredMnist, CombinationFilter, Dataset, Digits, FolderConfig, FolderDataset, MnistSplit, Preset,
    Shapes, ShapesConfig, Subset,
};
use cccm_labels::{Combination, KnownLabels, Vocabulary};
use cccm_run::{CONFIG, DataSettings, PROVENANCE, SettingGroup, lay_over};
use cccm_scores::RealImages;
use toml::Table;

use crate::data::{Place, fixed_vocabulary, held_out, mnist_held_out, on_bad_image};

/// Where the data have no images for testing, every tenth of a combination is one.
const TEST_EVERY: usize = 10;
/// Pictures of each combination of shapes, and the seed of those to test with; training has seed 0.
const SHAPES_PER_PAIR: usize = 100;
const SHAPES_TEST_SEED: u64 = 1;

/// Opens what the settings name, in the labels and the size of a model.
///
/// # Errors
/// When there are no such images, or their labels are not the model's.
pub fn open_real_images(args: &DataSettings, labels: &Vocabulary, image_px: usize) -> Result<RealImages> {
    let place = Place::of(args)?;
    let found = match place {
        Place::BuiltinDigits | Place::Mnist(_) => fixed_vocabulary(args, Preset::ColoredMnist)?,
        Place::BuiltinShapes(preset) => fixed_vocabulary(args, preset)?,
        Place::Folder(_) => match args.labels()? {
            Some(KnownLabels::All(named)) => named,
            Some(KnownLabels::Kinds(_)) | None => labels.clone(),
        },
    };
    if !found.has_labels_of(labels) {
        let names = |of: &Vocabulary| {
            of.kinds().iter().map(|kind| kind.names.join(" ")).collect::<Vec<_>>().join("; ")
        };
        bail!(
            "the data's labels ({}) are not the model's ({}): --data names the images it was trained on",
            names(&found),
            names(labels)
        );
    }
    match place {
        Place::BuiltinDigits => {
            let train = Digits::from_idx(cccm_assets::MNIST_TRAIN_IMAGES, cccm_assets::MNIST_TRAIN_LABELS)?;
            let test = Digits::from_idx(cccm_assets::MNIST_TEST_IMAGES, cccm_assets::MNIST_TEST_LABELS)?;
            colored_mnist(args, labels, [train, test], image_px)
        }
        Place::Mnist(folder) => {
            let [train, test] =
                [MnistSplit::Train, MnistSplit::Test].map(|split| Digits::from_dir(folder, split));
            colored_mnist(args, labels, [train?, test?], image_px)
        }
        Place::BuiltinShapes(preset) => {
            let shapes = |seed| -> Result<Arc<dyn Dataset>> {
                let images_per_combination = SHAPES_PER_PAIR;
                let (sized, combinations) = (preset == Preset::SizedShapes, CombinationFilter::all());
                let config = ShapesConfig { image_px, images_per_combination, seed, sized, combinations };
                Ok(Arc::new(Shapes::new(&config)?))
            };
            let held_out = held_out(args, labels)?;
            Ok(fresh_test(shapes(0)?, shapes(SHAPES_TEST_SEED)?, held_out))
        }
        Place::Folder(root) => folder(args, root, labels, image_px),
    }
}

fn colored_mnist(
    args: &DataSettings,
    labels: &Vocabulary,
    digits: [Digits; 2],
    image_px: usize,
) -> Result<RealImages> {
    let held_out = mnist_held_out(args, labels)?;
    let [train, test] =
        digits.map(|digits| ColoredMnist::new(digits, image_px, &CombinationFilter::all()).map(Arc::new));
    Ok(fresh_test(train?, test?, held_out))
}

fn folder(args: &DataSettings, root: &Path, labels: &Vocabulary, image_px: usize) -> Result<RealImages> {
    let held_out = held_out(args, labels)?;
    let config = FolderConfig {
        vocabulary: labels.clone(),
        image_px,
        combinations: CombinationFilter::all(),
        on_bad_image: on_bad_image(args),
    };
    let learnt = Arc::new(FolderDataset::open(root, &config)?);
    let (train, test) = Subset::split(Arc::clone(&learnt) as Arc<dyn Dataset>, TEST_EVERY)?;
    Ok(RealImages { train: Arc::new(train), test: Arc::new(test), learnt, held_out })
}

/// Of data whose images for testing nobody learns from.
fn fresh_test(
    train: Arc<dyn Dataset>,
    test: Arc<dyn Dataset>,
    held_out: BTreeSet<Combination>,
) -> RealImages {
    RealImages { learnt: Arc::clone(&train), train, test, held_out }
}

/// The data flags, over those of the run that a model is from, if it is from one.
/// - `model`: a run, or what lies in one: `model/`, a checkpoint, a file of these
///
/// # Errors
/// When the run's settings cannot be read.
pub fn data_of_run(model: &Path, given: &DataSettings) -> Result<DataSettings> {
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
    settings.retain(|name, _| DataSettings::SETTINGS.iter().any(|setting| setting.name == name));
    let given = Table::try_from(given)?;
    if given.contains_key("data") {
        // Of images elsewhere, the model has still not seen these combinations.
        settings.retain(|name, _| name == "ignored");
    }
    Ok(lay_over(settings, given).try_into()?)
}

#[cfg(test)]
mod tests {
    use cccm_data::discover;

    use super::*;

    #[test]
    fn labels_that_are_given_win_over_the_preset_of_a_run() -> Result<()> {
        let run = tempfile::tempdir()?;
        std::fs::write(run.path().join(CONFIG), "preset = 'celeba'\n[run]\ncommand = 'train'")?;
        let labels = |names: &[&str]| Some(names.iter().map(ToString::to_string).collect());
        let given =
            DataSettings { attributes: labels(&["a"]), objects: labels(&["b"]), ..DataSettings::default() };
        let data = data_of_run(run.path(), &given)?;
        assert_eq!((data.preset, data.attributes), (None, given.attributes));
        assert_eq!(data_of_run(run.path(), &DataSettings::default())?.preset, Some(Preset::Celeba));
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
        let data = DataSettings { data: Some(dir.path().display().to_string()), ..DataSettings::default() };
        let real = open_real_images(&data, &discover(dir.path(), &KnownLabels::default())?, 8)?;
        assert_eq!((real.train.len(), real.test.len(), real.learnt.len()), (18, 2, 20));
        let shapes = DataSettings { data: Some("builtin:shapes".to_owned()), ..DataSettings::default() };
        let real = open_real_images(&shapes, &Preset::Shapes.vocabulary(), 8)?;
        assert_eq!(real.learnt.len(), real.train.len());
        Ok(())
    }
}
