//! Which images, under which labels, and how training draws from them.

#![expect(clippy::doc_markdown, reason = "help texts are read in a terminal")]

use anyhow::{Context, Result, bail};
use cccm_data::{Fitting, Flip, LoaderConfig, Orientation, Preset, Resize, Sampling, Subfolders};
use cccm_labels::{KnownLabels, Vocabulary};

use crate::setting::{Effect, OnCard, Values, named_values, settings};

settings! {
    /// Which images, under which labels.
    pub struct DataSettings under "Data" {
        /// Images in folders `<attribute>_<object>`, or named after the labels of each --kind; with a list beside them
        /// (`metadata.jsonl`, `metadata.csv`: `file_name` and a column for each kind); in tar shards or Parquet files; a data set on
        /// the Hub, `hf://datasets/OWNER/NAME`; the folder of the four MNIST files (then Colored MNIST); or `builtin:colored-mnist`,
        /// `builtin:shapes`, `builtin:sized-shapes` [default: builtin:colored-mnist]
        data: String => { value_names: &["DIR"], effect: Effect::Place },

        /// Labels by name: celeba, zappos50k, colored-mnist, shapes, sized-shapes [default: discovered from the folders]
        preset: Preset => { value_names: &["NAME"] },

        /// Attributes in index order, instead of a preset
        attributes: Vec<String> => { value_names: &["NAME"], needs: Some("objects"), excludes: &["preset"] },

        /// Objects in index order, instead of a preset
        objects: Vec<String> => { value_names: &["NAME"], needs: Some("attributes"), excludes: &["preset"] },

        /// A kind of labels, as colour=red,green,blue, in index order; once for each kind, in order, instead of a preset or of
        /// attributes and objects. Without labels, as in --kind colour, they are discovered from the folders
        kind: Vec<String> => { value_names: &["KIND"], values: Values::Gathered, excludes: &["preset", "attributes", "objects"] },

        /// Images in sub-folders of the folders too
        recursive: bool => { on_card: OnCard::Told },

        /// Side of the squares that images become, in pixels
        img_size: usize => { value_names: &["PX"] },

        /// How images become square: stretch as published, crop to the middle, random_crop to a window that training draws anew
        /// each time, pad with white [default: stretch]
        resize: ResizeBy => { value_names: &["HOW"], on_card: OnCard::Told },

        /// Turn images as their EXIF orientation says, instead of taking them as they are stored
        upright: bool => { on_card: OnCard::Told },

        /// Pairs to hold out of the training, as folder names; `none` for none [default: none; for Colored MNIST the pairs
        /// with (colour index + digit) divisible by 5]
        ignored: Vec<String> => { value_names: &["PAIR"], on_card: OnCard::Told },

        /// Skip and count images that cannot be decoded, instead of stopping
        skip_bad_images: bool => { effect: Effect::Bookkeeping },
    }
}

settings! {
    /// How training draws from the images that it has. Scores of a model are computed with the images as they
    /// are.
    pub struct DrawSettings under "Data" {
        /// Which images an epoch draws: class_balanced as published, every pair equally often, or shuffled, every image once
        /// [default: class_balanced]
        image_sampling: ImageSampling => { value_names: &["NAME"], on_card: OnCard::Told },

        /// Mirror every drawn image left to right with probability one half; scores and `cccm eval` compare with the images as
        /// they are
        flip: bool => { on_card: OnCard::Told },

        /// Labels of any kind whose images --flip never mirrors, such as digits and left hands
        flip_except: Vec<String> => { value_names: &["LABEL"], values: Values::Several, on_card: OnCard::Told },
    }
}

named_values! {
    /// Which images an epoch draws.
    pub enum ImageSampling ("image sampling") {
        /// Every pair equally often
        ClassBalanced = "class_balanced",
        /// Every image once
        Shuffled = "shuffled",
    }
}

named_values! {
    /// How images become square.
    pub enum ResizeBy ("way to resize") {
        /// Stretched
        Stretch = "stretch",
        /// The middle square
        Crop = "crop",
        /// A square window drawn anew each time
        RandomCrop = "random_crop",
        /// The whole image on a white square
        Pad = "pad",
    }
}

impl DataSettings {
    /// What is done about folders in folders.
    pub fn subfolders(&self) -> Subfolders {
        if self.recursive == Some(true) { Subfolders::Read } else { Subfolders::PassedOver }
    }

    /// How images are made to fit.
    pub fn fitting(&self) -> Fitting {
        let resize = match self.resize {
            None | Some(ResizeBy::Stretch) => Resize::Stretch,
            Some(ResizeBy::Crop) => Resize::Crop,
            Some(ResizeBy::RandomCrop) => Resize::RandomCrop,
            Some(ResizeBy::Pad) => Resize::Pad,
        };
        let orientation =
            if self.upright == Some(true) { Orientation::Upright } else { Orientation::AsStored };
        Fitting { resize, orientation }
    }

    /// The labels that these settings give, if they give any.
    ///
    /// # Errors
    /// For labels and kinds that cannot be.
    pub fn labels(&self) -> Result<Option<KnownLabels>> {
        known_labels(self.preset, self.attributes.as_deref(), self.objects.as_deref(), self.kind.as_deref())
    }
}

/// The labels that flags and files give, if they give any.
/// - `kinds`: each `NAME` or `NAME=LABEL,LABEL…`
///
/// # Errors
/// For labels and kinds that cannot be.
pub fn known_labels(
    preset: Option<Preset>,
    attributes: Option<&[String]>,
    objects: Option<&[String]>,
    kinds: Option<&[String]>,
) -> Result<Option<KnownLabels>> {
    Ok(match (preset, attributes, objects, kinds) {
        (Some(preset), ..) => Some(KnownLabels::All(preset.vocabulary())),
        (None, Some(attributes), Some(objects), _) => {
            Some(KnownLabels::All(Vocabulary::of_pairs(attributes.to_vec(), objects.to_vec())?))
        }
        (None, _, _, Some(kinds)) => Some(KnownLabels::parse(kinds).context("cannot use --kind")?),
        _ => None,
    })
}

impl DrawSettings {
    /// Lays these settings over those of a loader.
    /// - `vocabulary`: the labels of the images
    ///
    /// # Errors
    /// For a label that the images do not have, and for labels that are never mirrored where nothing is.
    pub fn apply(&self, config: &mut LoaderConfig, vocabulary: &Vocabulary) -> Result<()> {
        config.flip = self.flip(vocabulary)?;
        match self.image_sampling {
            Some(ImageSampling::Shuffled) => config.sampling = Sampling::Shuffled,
            Some(ImageSampling::ClassBalanced) => config.sampling = Sampling::ClassBalanced,
            None => {}
        }
        Ok(())
    }

    fn flip(&self, vocabulary: &Vocabulary) -> Result<Option<Flip>> {
        match (self.flip, &self.flip_except) {
            (Some(true), labels) => {
                let flip = Flip::except(vocabulary, labels.as_deref().unwrap_or_default());
                Ok(Some(flip.context("cannot use --flip-except")?))
            }
            (_, Some(_)) => bail!("--flip-except names what --flip leaves as it is: give --flip too"),
            (_, None) => Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cccm_data::Preset;

    fn flip(args: DrawSettings) -> Result<Option<Flip>> {
        let mut config = LoaderConfig::new(1, 0);
        args.apply(&mut config, &Preset::Celeba.vocabulary())?;
        assert_eq!(config.sampling, Sampling::ClassBalanced);
        Ok(config.flip)
    }

    fn labels(names: &[&str]) -> Vec<String> {
        names.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn images_are_mirrored_only_where_that_is_said() {
        assert_eq!(flip(DrawSettings::default()).unwrap(), None);
        assert_eq!(flip(DrawSettings { flip: Some(false), ..DrawSettings::default() }).unwrap(), None);
        assert_eq!(
            flip(DrawSettings { flip: Some(true), ..DrawSettings::default() }).unwrap(),
            Some(Flip::default())
        );
        let except =
            |flip, names| DrawSettings { flip, flip_except: Some(labels(names)), image_sampling: None };
        let kept = flip(except(Some(true), &["Female"])).unwrap().unwrap();
        assert_eq!(kept.kept.into_iter().collect::<Vec<_>>(), [(1, 1)]);
        let alone = flip(except(None, &["Female"])).unwrap_err().to_string();
        assert!(alone.contains("give --flip too"), "{alone}");
        let misspelt = format!("{:#}", flip(except(Some(true), &["Femal"])).unwrap_err());
        assert!(
            misspelt.contains("--flip-except") && misspelt.contains("did you mean `Female`"),
            "{misspelt}"
        );
    }
}
