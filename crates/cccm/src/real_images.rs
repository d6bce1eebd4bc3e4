//! Real images of every combination: those to learn from and compare with, and others to test with.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use cccm_data::{
    ColoredMnist, CombinationFilter, Dataset, Digits, FolderDataset, MnistSplit, OnBadImage, Preset, Shapes,
    ShapesConfig, Subset,
};
use cccm_labels::{Combination, KnownLabels, Vocabulary};
use cccm_run::{CONFIG, DataSettings, PROVENANCE, SettingGroup, lay_over};
use cccm_scores::RealImages;
use toml::Table;

use crate::data::{
    Place, fixed_vocabulary, folder_config, held_out, is_no_path, mnist_held_out, on_bad_image,
};

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
        Place::Folder(root) => folder(args, &root, labels, image_px),
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
    let config = folder_config(args, labels.clone(), image_px);
    let mut learnt: Arc<dyn Dataset> = Arc::new(FolderDataset::open(root, &config)?);
    if on_bad_image(args) == OnBadImage::Skip {
        // Scores see each image, so that there is nothing to put in the place of one.
        let (readable, bad) = Subset::readable(Arc::clone(&learnt))?;
        if bad > 0 {
            tracing::warn!("scores leave out {bad} of {} real images, which cannot be decoded", learnt.len());
            learnt = Arc::new(readable);
        }
    }
    let (train, test) = Subset::split(Arc::clone(&learnt), TEST_EVERY)?;
    Ok(RealImages { train: Arc::new(train), test: Arc::new(test), learnt, held_out })
}

/// Real images of data with separate test images, which no generator learns from.
fn fresh_test(
    train: Arc<dyn Dataset>,
    test: Arc<dyn Dataset>,
    held_out: BTreeSet<Combination>,
) -> RealImages {
    RealImages { learnt: Arc::clone(&train), train, test, held_out }
}

/// The given data settings, laid over those of the run that the model comes from, if it comes from a run. Data that the run names by a relative path are
/// looked for from here, and then from the folders above the run.
/// - `model`: a run, or what lies in one: `model/`, a checkpoint, a file of these
///
/// # Errors
/// When the run's settings cannot be read, or its data are not found.
pub fn data_of_run(model: &Path, given: &DataSettings) -> Result<DataSettings> {
    let given = Table::try_from(given)?;
    let Some((run, mut settings)) = settings_of_run(model)? else { return Ok(given.try_into()?) };
    settings.retain(|name, _| DataSettings::SETTINGS.iter().any(|setting| setting.name == name));
    if given.contains_key("data") {
        // Of images elsewhere, the model has still not seen these combinations, and it saw images cut like this.
        settings.retain(|name, _| matches!(name, "ignored" | "resize" | "upright"));
    } else if let Some(data) = settings.get("data").and_then(|data| data.as_str()) {
        let found = found_from(&run, data)?;
        settings.insert("data".to_owned(), found.into());
    }
    Ok(lay_over(settings, given).try_into()?)
}

/// The run that a model is from, and its settings.
fn settings_of_run(model: &Path) -> Result<Option<(PathBuf, Table)>> {
    const LEVELS: usize = 3;
    for folder in model.ancestors().take(LEVELS).filter(|folder| folder.join(CONFIG).is_file()) {
        let path = folder.join(CONFIG);
        let text =
            std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let found: Table =
            text.parse().with_context(|| format!("cannot use the settings in {}", path.display()))?;
        if found.contains_key(PROVENANCE) {
            return Ok(Some((folder.to_owned(), found)));
        }
    }
    Ok(None)
}

/// The path of a run's data, from here or from a folder above the run.
fn found_from(run: &Path, data: &str) -> Result<String> {
    const LEVELS: usize = 4;
    if is_no_path(data) || Path::new(data).exists() {
        return Ok(data.to_owned());
    }
    let run_here = std::path::absolute(run)?;
    let above = run_here.ancestors().skip(1).take(LEVELS);
    let Some(found) = above.map(|folder| folder.join(data)).find(|path| path.exists()) else {
        bail!("the run {} was trained on `{data}`, which is not here: --data names it", run.display());
    };
    tracing::info!("the run's data `{data}` are taken from {}", found.display());
    Ok(found.display().to_string())
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

    #[test]
    fn data_of_a_run_are_found_from_the_folders_above_it() -> Result<()> {
        let dir = tempfile::tempdir()?;
        let run = dir.path().join("runs/one");
        std::fs::create_dir_all(&run)?;
        std::fs::write(run.join(CONFIG), "data = 'photos'\nresize = 'crop'\n[run]\ncommand = 'train'")?;
        let missing = data_of_run(&run, &DataSettings::default()).unwrap_err().to_string();
        assert!(missing.contains("was trained on `photos`, which is not here: --data"), "{missing}");
        let photos = dir.path().join("photos");
        std::fs::create_dir(&photos)?;
        let found = data_of_run(&run.join("model"), &DataSettings::default())?;
        assert_eq!(found.data, Some(photos.display().to_string()));
        // Elsewhere, the images are cut as those that the model saw.
        let elsewhere = DataSettings { data: Some("builtin:shapes".to_owned()), ..DataSettings::default() };
        let found = data_of_run(&run, &elsewhere)?;
        assert_eq!((found.data, found.resize), (elsewhere.data, Some(cccm_run::ResizeBy::Crop)));
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
