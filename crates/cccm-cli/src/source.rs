//! From the data flags to a dataset.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Result, bail};
use cccm_data::{
    ColoredMnist, Dataset, Digits, FolderConfig, FolderDataset, MnistSplit, OnBadImage, Pair, PairFilter,
    Preset, Shapes, ShapesConfig, Vocabulary,
};
use cccm_sched::LabelKind;
use toml::Table;

use crate::args::DataArgs;

/// The digits and the colours of the built-in teacher.
pub(crate) const BUILTIN_DIGITS: &str = "builtin:colored-mnist";
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
    pub(crate) fn of(args: &'a DataArgs) -> Result<Self> {
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

/// Whether settings name the built-in digits, or no data, which are those.
pub(crate) fn is_builtin_digits(settings: &Table) -> bool {
    settings.get("data").is_none_or(|data| data.as_str() == Some(BUILTIN_DIGITS))
}

/// Training images, and the pairs kept out of them.
pub(crate) struct Source {
    pub(crate) dataset: Arc<dyn Dataset>,
    pub(crate) held_out: BTreeSet<Pair>,
}

impl Source {
    /// Opens what the flags name.
    /// - `vocabulary`: what a teacher knows, which folders then must spell
    /// - `image_px`: side of the images unless the flags say another
    pub(crate) fn open(args: &DataArgs, vocabulary: Option<&Vocabulary>, image_px: usize) -> Result<Self> {
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

    fn colored_mnist(args: &DataArgs, digits: Digits, image_px: usize) -> Result<Self> {
        let held_out = mnist_held_out(args, &fixed_vocabulary(args, Preset::ColoredMnist)?)?;
        let dataset = ColoredMnist::new(digits, image_px, &PairFilter::Except(held_out.clone()))?;
        Ok(Self { dataset: Arc::new(dataset), held_out })
    }

    fn shapes(args: &DataArgs, image_px: usize) -> Result<Self> {
        const IMAGES_PER_PAIR: usize = 500;
        let held_out = held_out(args, &fixed_vocabulary(args, Preset::Shapes)?)?;
        let pairs = PairFilter::Except(held_out.clone());
        // Which pictures there are belongs to the dataset: another --seed trains on the same ones.
        let config = ShapesConfig { image_px, images_per_pair: IMAGES_PER_PAIR, seed: 0, pairs };
        Ok(Self { dataset: Arc::new(Shapes::new(&config)?), held_out })
    }

    fn folder(args: &DataArgs, root: &Path, known: Option<&Vocabulary>, image_px: usize) -> Result<Self> {
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
pub(crate) fn on_bad_image(args: &DataArgs) -> OnBadImage {
    if args.skip_bad_images == Some(true) { OnBadImage::Skip } else { OnBadImage::Stop }
}

/// The label kinds of a vocabulary, as a model's config has them.
pub(crate) fn label_kinds(vocabulary: &Vocabulary) -> Vec<LabelKind> {
    [("attribute", &vocabulary.attributes), ("object", &vocabulary.objects)]
        .map(|(kind, names)| LabelKind { kind: kind.to_owned(), names: names.clone() })
        .into()
}

/// The vocabulary of a model's label kinds.
pub(crate) fn vocabulary_of(labels: &[LabelKind]) -> Result<Vocabulary> {
    match labels {
        [attribute, object] => Ok(Vocabulary::new(attribute.names.clone(), object.names.clone())?),
        _ => bail!("the model has {} label kinds, but must have two", labels.len()),
    }
}

/// The vocabulary that the flags name, if they do.
pub(crate) fn named_vocabulary(args: &DataArgs) -> Result<Option<Vocabulary>> {
    Ok(match (args.preset, &args.attributes, &args.objects) {
        (Some(preset), ..) => Some(preset.vocabulary()),
        (None, Some(attributes), Some(objects)) => {
            Some(Vocabulary::new(attributes.clone(), objects.clone())?)
        }
        _ => None,
    })
}

/// The vocabulary of data that come with one, which the flags must not contradict.
pub(crate) fn fixed_vocabulary(args: &DataArgs, preset: Preset) -> Result<Vocabulary> {
    let vocabulary = preset.vocabulary();
    if named_vocabulary(args)?.is_some_and(|named| named != vocabulary) {
        bail!(
            "these images have the labels of the preset `{preset}`: leave out --preset, --attributes and --objects"
        );
    }
    Ok(vocabulary)
}

/// The pairs that the flags hold out.
pub(crate) fn held_out(args: &DataArgs, vocabulary: &Vocabulary) -> Result<BTreeSet<Pair>> {
    match args.ignored.as_deref() {
        None => Ok(BTreeSet::new()),
        Some([none]) if none == "none" => Ok(BTreeSet::new()),
        Some(names) => Ok(vocabulary.parse_folders(names)?),
    }
}

/// The same, where by default it is those held out by custom.
pub(crate) fn mnist_held_out(args: &DataArgs, vocabulary: &Vocabulary) -> Result<BTreeSet<Pair>> {
    if args.ignored.is_some() { held_out(args, vocabulary) } else { Ok(ColoredMnist::held_out()) }
}

fn holds_mnist(folder: &Path) -> bool {
    ["train-images-idx3-ubyte", "train-images-idx3-ubyte.gz"].iter().any(|name| folder.join(name).is_file())
}
