//! From settings to training images.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Result, anyhow, bail};
use cccm_data::{
    ColoredMnist, CombinationFilter, Dataset, Digits, FolderConfig, FolderDataset, MnistSplit, OnBadImage,
    Preset, Shapes, ShapesConfig, discover,
};
use cccm_labels::{Combination, KnownLabels, Vocabulary};
use cccm_run::{BUILTIN_DIGITS, DataSettings};

const BUILTIN: &str = "builtin:";
const BUILTIN_SHAPES: &str = "builtin:shapes";
const BUILTIN_SIZED_SHAPES: &str = "builtin:sized-shapes";

/// Where images come from.
pub(crate) enum Place<'a> {
    BuiltinDigits,
    /// Drawn figures under these labels.
    BuiltinShapes(Preset),
    /// The folder of the four MNIST files.
    Mnist(&'a Path),
    /// Folders named after combinations, a list, or shards; of a data set on the Hub, where it was downloaded to.
    Folder(Cow<'a, Path>),
}

impl<'a> Place<'a> {
    pub(crate) fn of(args: &'a DataSettings) -> Result<Self> {
        match args.data.as_deref().unwrap_or(BUILTIN_DIGITS) {
            BUILTIN_DIGITS => Ok(Self::BuiltinDigits),
            BUILTIN_SHAPES => Ok(Self::BuiltinShapes(Preset::Shapes)),
            BUILTIN_SIZED_SHAPES => Ok(Self::BuiltinShapes(Preset::SizedShapes)),
            data if data.starts_with(BUILTIN) => {
                bail!(
                    "no built-in data `{data}`: there are {BUILTIN_DIGITS}, {BUILTIN_SHAPES}, {BUILTIN_SIZED_SHAPES}"
                )
            }
            folder if Digits::are_in(folder, MnistSplit::Train) => Ok(Self::Mnist(Path::new(folder))),
            data => Ok(Self::Folder(local_data(data)?)),
        }
    }
}

/// Whether data are named otherwise than by a path.
pub(crate) fn is_no_path(data: &str) -> bool {
    data.starts_with(BUILTIN) || data.starts_with("hf://")
}

/// Where data lie on this machine: of a data set on the Hub, `hf://datasets/OWNER/NAME`, once what is needed of it is downloaded.
///
/// # Errors
/// Whatever hinders the download.
pub fn local_data(data: &str) -> Result<Cow<'_, Path>> {
    if !data.starts_with("hf://") {
        return Ok(Cow::Borrowed(Path::new(data)));
    }
    #[cfg(feature = "hub")]
    return Ok(Cow::Owned(crate::hub::fetch_data(data)?));
    #[cfg(not(feature = "hub"))]
    bail!("this build downloads nothing: it lacks the feature `hub`")
}

/// Training images, and the combinations kept out of them.
pub struct TrainingImages {
    /// The images.
    pub dataset: Arc<dyn Dataset>,
    /// The combinations kept out.
    pub held_out: BTreeSet<Combination>,
}

impl TrainingImages {
    /// Opens what the settings name.
    /// - `vocabulary`: the labels of a teacher, if there is one; folders must then use these labels
    /// - `image_px`: side of the images unless the settings say another
    ///
    /// # Errors
    /// When there are no such images, or their labels are not those that are asked for.
    pub fn open(args: &DataSettings, vocabulary: Option<&Vocabulary>, image_px: usize) -> Result<Self> {
        let image_px = args.img_size.unwrap_or(image_px);
        let place = Place::of(args)?;
        if !matches!(place, Place::Folder(_)) {
            warn_of_idle_flags(args);
        }
        match place {
            Place::BuiltinDigits => {
                let (images, labels) = (cccm_assets::MNIST_TRAIN_IMAGES, cccm_assets::MNIST_TRAIN_LABELS);
                Self::colored_mnist(args, Digits::from_idx(images, labels)?, image_px)
            }
            Place::BuiltinShapes(preset) => Self::shapes(args, preset, image_px),
            Place::Mnist(folder) => {
                Self::colored_mnist(args, Digits::from_dir(folder, MnistSplit::Train)?, image_px)
            }
            Place::Folder(root) => Self::folder(args, &root, vocabulary, image_px),
        }
    }

    fn colored_mnist(args: &DataSettings, digits: Digits, image_px: usize) -> Result<Self> {
        let held_out = mnist_held_out(args, &fixed_vocabulary(args, Preset::ColoredMnist)?)?;
        let dataset = ColoredMnist::new(digits, image_px, &CombinationFilter::Except(held_out.clone()))?;
        Ok(Self { dataset: Arc::new(dataset), held_out })
    }

    fn shapes(args: &DataSettings, preset: Preset, image_px: usize) -> Result<Self> {
        const IMAGES_PER_COMBINATION: usize = 500;
        let held_out = held_out(args, &fixed_vocabulary(args, preset)?)?;
        let combinations = CombinationFilter::Except(held_out.clone());
        // Which pictures there are belongs to the dataset: another --seed trains on the same ones.
        let config = ShapesConfig {
            image_px,
            images_per_combination: IMAGES_PER_COMBINATION,
            seed: 0,
            sized: preset == Preset::SizedShapes,
            combinations,
        };
        Ok(Self { dataset: Arc::new(Shapes::new(&config)?), held_out })
    }

    fn folder(args: &DataSettings, root: &Path, known: Option<&Vocabulary>, image_px: usize) -> Result<Self> {
        let vocabulary = match (args.labels()?, known) {
            (Some(KnownLabels::Kinds(kinds)), Some(known)) => {
                let theirs = known.kinds().iter().map(|kind| &kind.kind);
                if !theirs.eq(&kinds) {
                    bail!("--kind says {}, but the model's labels are {}", kinds.join(", "), known.form());
                }
                known.clone()
            }
            (None, Some(known)) => known.clone(),
            (named, _) => found_labels(root, &named.unwrap_or_default())?,
        };
        let held_out = held_out(args, &vocabulary)?;
        let combinations = CombinationFilter::Except(held_out.clone());
        let config = FolderConfig { combinations, ..folder_config(args, vocabulary, image_px) };
        Ok(Self { dataset: Arc::new(FolderDataset::open(root, &config)?), held_out })
    }
}

/// Warns of flags about files, where images are drawn or digits.
fn warn_of_idle_flags(args: &DataSettings) {
    let flags = [
        ("--resize", args.resize.is_some()),
        ("--upright", args.upright == Some(true)),
        ("--recursive", args.recursive == Some(true)),
        ("--skip-bad-images", args.skip_bad_images == Some(true)),
    ];
    let idle: Vec<&str> = flags.iter().filter(|(_, is_given)| *is_given).map(|(flag, _)| *flag).collect();
    if !idle.is_empty() {
        tracing::warn!("{} changes nothing: these images are in no files of their own", idle.join(", "));
    }
}

/// The labels that folders spell.
fn found_labels(root: &Path, known: &KnownLabels) -> Result<Vocabulary> {
    discover(root, known).map_err(|error| match error {
        cccm_data::Error::NoVocabulary { .. } => {
            anyhow!("{error}: by --kind, by --preset, or by --attributes and --objects")
        }
        other => other.into(),
    })
}

/// All images of a folder, as the settings have them.
pub(crate) fn folder_config(args: &DataSettings, vocabulary: Vocabulary, image_px: usize) -> FolderConfig {
    FolderConfig {
        fitting: args.fitting(),
        subfolders: args.subfolders(),
        on_bad_image: on_bad_image(args),
        ..FolderConfig::new(vocabulary, image_px)
    }
}

/// What to do about images that cannot be decoded.
pub(crate) fn on_bad_image(args: &DataSettings) -> OnBadImage {
    if args.skip_bad_images == Some(true) { OnBadImage::Skip } else { OnBadImage::Stop }
}

/// The vocabulary of data that come with one, which the flags must not contradict.
pub(crate) fn fixed_vocabulary(args: &DataSettings, preset: Preset) -> Result<Vocabulary> {
    let vocabulary = preset.vocabulary();
    if args.labels()?.is_some_and(|named| named != KnownLabels::All(vocabulary.clone())) {
        bail!(
            "these images have the labels of the preset `{preset}`: leave out --preset, --attributes, --objects and --kind"
        );
    }
    Ok(vocabulary)
}

/// The combinations that the flags hold out.
pub(crate) fn held_out(args: &DataSettings, vocabulary: &Vocabulary) -> Result<BTreeSet<Combination>> {
    match args.ignored.as_deref() {
        None => Ok(BTreeSet::new()),
        Some([none]) if none == "none" => Ok(BTreeSet::new()),
        Some(names) => Ok(vocabulary.parse_folders(names)?),
    }
}

/// The same for Colored MNIST, where the customary pairs are held out by default.
pub(crate) fn mnist_held_out(args: &DataSettings, vocabulary: &Vocabulary) -> Result<BTreeSet<Combination>> {
    if args.ignored.is_some() { held_out(args, vocabulary) } else { Ok(ColoredMnist::held_out()) }
}
