//! From settings to training images.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Result, bail};
use cccm_data::{
    ColoredMnist, Dataset, Digits, FolderConfig, FolderDataset, MnistSplit, OnBadImage, Pair, PairFilter,
    Preset, Shapes, ShapesConfig, Vocabulary,
};
use cccm_run::{BUILTIN_DIGITS, DataSettings};
use cccm_sched::LabelKind;
use cccm_unet::Hints;

const BUILTIN_SHAPES: &str = "builtin:shapes";

/// Where images come from.
pub(crate) enum Place<'a> {
    BuiltinDigits,
    BuiltinShapes,
    /// The folder of the four MNIST files.
    Mnist(&'a Path),
    /// Folders named after pairs.
    Folder(&'a Path),
}

impl<'a> Place<'a> {
    pub(crate) fn of(args: &'a DataSettings) -> Result<Self> {
        match args.data.as_deref().unwrap_or(BUILTIN_DIGITS) {
            BUILTIN_DIGITS => Ok(Self::BuiltinDigits),
            BUILTIN_SHAPES => Ok(Self::BuiltinShapes),
            data if data.starts_with("builtin:") => {
                bail!("no built-in data `{data}`: there are {BUILTIN_DIGITS} and {BUILTIN_SHAPES}")
            }
            folder if holds_mnist(Path::new(folder)) => Ok(Self::Mnist(Path::new(folder))),
            folder => Ok(Self::Folder(Path::new(folder))),
        }
    }
}

/// Training images, and the pairs kept out of them.
pub struct TrainingImages {
    /// The images.
    pub dataset: Arc<dyn Dataset>,
    /// The pairs kept out.
    pub held_out: BTreeSet<Pair>,
}

impl TrainingImages {
    /// Opens what the settings name.
    /// - `vocabulary`: what a teacher knows, which folders then must spell
    /// - `image_px`: side of the images unless the settings say another
    ///
    /// # Errors
    /// When there are no such images, or their labels are not those that are asked for.
    pub fn open(args: &DataSettings, vocabulary: Option<&Vocabulary>, image_px: usize) -> Result<Self> {
        let image_px = args.img_size.unwrap_or(image_px);
        match Place::of(args)? {
            Place::BuiltinDigits => {
                let (images, labels) = (cccm_assets::MNIST_TRAIN_IMAGES, cccm_assets::MNIST_TRAIN_LABELS);
                Self::colored_mnist(args, Digits::from_idx(images, labels)?, image_px)
            }
            Place::BuiltinShapes => Self::shapes(args, image_px),
            Place::Mnist(folder) => {
                Self::colored_mnist(args, Digits::from_dir(folder, MnistSplit::Train)?, image_px)
            }
            Place::Folder(root) => Self::folder(args, root, vocabulary, image_px),
        }
    }

    fn colored_mnist(args: &DataSettings, digits: Digits, image_px: usize) -> Result<Self> {
        let held_out = mnist_held_out(args, &fixed_vocabulary(args, Preset::ColoredMnist)?)?;
        let dataset = ColoredMnist::new(digits, image_px, &PairFilter::Except(held_out.clone()))?;
        Ok(Self { dataset: Arc::new(dataset), held_out })
    }

    fn shapes(args: &DataSettings, image_px: usize) -> Result<Self> {
        const IMAGES_PER_PAIR: usize = 500;
        let held_out = held_out(args, &fixed_vocabulary(args, Preset::Shapes)?)?;
        let pairs = PairFilter::Except(held_out.clone());
        // Which pictures there are belongs to the dataset: another --seed trains on the same ones.
        let config = ShapesConfig { image_px, images_per_pair: IMAGES_PER_PAIR, seed: 0, pairs };
        Ok(Self { dataset: Arc::new(Shapes::new(&config)?), held_out })
    }

    fn folder(args: &DataSettings, root: &Path, known: Option<&Vocabulary>, image_px: usize) -> Result<Self> {
        let vocabulary = match (named_vocabulary(args)?, known) {
            (Some(named), _) => named,
            (None, Some(known)) => known.clone(),
            (None, None) => Vocabulary::discover(root)?,
        };
        let held_out = held_out(args, &vocabulary)?;
        let config = FolderConfig {
            vocabulary,
            image_px,
            pairs: PairFilter::Except(held_out.clone()),
            on_bad_image: on_bad_image(args),
        };
        Ok(Self { dataset: Arc::new(FolderDataset::open(root, &config)?), held_out })
    }
}

/// What to do about images that cannot be decoded.
pub(crate) fn on_bad_image(args: &DataSettings) -> OnBadImage {
    if args.skip_bad_images == Some(true) { OnBadImage::Skip } else { OnBadImage::Stop }
}

/// The label kinds of a vocabulary, as a model's config has them.
pub fn label_kinds(vocabulary: &Vocabulary) -> Vec<LabelKind> {
    [("attribute", &vocabulary.attributes), ("object", &vocabulary.objects)]
        .map(|(kind, names)| LabelKind { kind: kind.to_owned(), names: names.clone() })
        .into()
}

/// The vocabulary of a model's label kinds.
///
/// # Errors
/// When they are not two.
pub fn vocabulary_of(labels: &[LabelKind]) -> Result<Vocabulary> {
    match labels {
        [attribute, object] => Ok(Vocabulary::new(attribute.names.clone(), object.names.clone())?),
        _ => bail!("the model has {} label kinds, but must have two", labels.len()),
    }
}

/// The vocabulary that the flags name, if they do.
pub(crate) fn named_vocabulary(args: &DataSettings) -> Result<Option<Vocabulary>> {
    Ok(match (args.preset, &args.attributes, &args.objects) {
        (Some(preset), ..) => Some(preset.vocabulary()),
        (None, Some(attributes), Some(objects)) => {
            Some(Vocabulary::new(attributes.clone(), objects.clone())?)
        }
        _ => None,
    })
}

/// The vocabulary of data that come with one, which the flags must not contradict.
pub(crate) fn fixed_vocabulary(args: &DataSettings, preset: Preset) -> Result<Vocabulary> {
    let vocabulary = preset.vocabulary();
    if named_vocabulary(args)?.is_some_and(|named| named != vocabulary) {
        bail!(
            "these images have the labels of the preset `{preset}`: leave out --preset, --attributes and --objects"
        );
    }
    Ok(vocabulary)
}

/// The pairs that the flags hold out.
pub(crate) fn held_out(args: &DataSettings, vocabulary: &Vocabulary) -> Result<BTreeSet<Pair>> {
    match args.ignored.as_deref() {
        None => Ok(BTreeSet::new()),
        Some([none]) if none == "none" => Ok(BTreeSet::new()),
        Some(names) => Ok(vocabulary.parse_folders(names)?),
    }
}

/// The same, where by default it is those held out by custom.
pub(crate) fn mnist_held_out(args: &DataSettings, vocabulary: &Vocabulary) -> Result<BTreeSet<Pair>> {
    if args.ignored.is_some() { held_out(args, vocabulary) } else { Ok(ColoredMnist::held_out()) }
}

/// What is known of the published teacher of a preset.
pub fn preset_hints(preset: Preset) -> Hints {
    let image_px = match preset {
        Preset::Celeba => Some(128),
        Preset::ColoredMnist => Some(64),
        Preset::Zappos50k | Preset::Shapes => None,
    };
    Hints { labels: Some(label_kinds(&preset.vocabulary())), image_px, ..Hints::default() }
}

fn holds_mnist(folder: &Path) -> bool {
    ["train-images-idx3-ubyte", "train-images-idx3-ubyte.gz"].iter().any(|name| folder.join(name).is_file())
}
