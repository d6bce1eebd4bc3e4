//! How training draws from the images that it has.

#![expect(clippy::doc_markdown, reason = "help texts are read in a terminal")]

use anyhow::{Context, Result, bail};
use cccm_data::{Flip, LoaderConfig, Sampling, Vocabulary};
use serde::{Deserialize, Serialize};

/// How training draws from the images that it has. Whoever judges a model takes the images as they are.
#[derive(Clone, Debug, Default, clap::Args, Serialize, Deserialize)]
#[command(next_help_heading = "Data")]
#[serde(default)]
pub(crate) struct DrawArgs {
    /// Which images an epoch draws: class_balanced as published, every pair equally often, or shuffled, every image once
    /// [default: class_balanced]
    #[arg(long, value_name = "NAME")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) image_sampling: Option<ImageSampling>,

    /// Mirror every drawn image left to right with probability one half; scores and `cccm eval` compare with the images as
    /// they are
    #[arg(long, num_args = 0, default_missing_value = "true")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) flip: Option<bool>,

    /// Labels whose images --flip never mirrors, such as digits and left hands; attributes and objects alike
    #[arg(long, value_name = "LABEL", num_args = 1..)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) flip_except: Option<Vec<String>>,
}

/// Which images an epoch draws.
#[derive(Clone, Copy, Debug, clap::ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[value(rename_all = "snake_case")]
pub(crate) enum ImageSampling {
    /// Every pair equally often
    ClassBalanced,
    /// Every image once
    Shuffled,
}

impl DrawArgs {
    /// Lays these settings over those of a loader.
    /// - `vocabulary`: the labels of the images
    pub(crate) fn apply(&self, config: &mut LoaderConfig, vocabulary: &Vocabulary) -> Result<()> {
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

    fn flip(args: DrawArgs) -> Result<Option<Flip>> {
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
        assert_eq!(flip(DrawArgs::default()).unwrap(), None);
        assert_eq!(flip(DrawArgs { flip: Some(false), ..DrawArgs::default() }).unwrap(), None);
        assert_eq!(
            flip(DrawArgs { flip: Some(true), ..DrawArgs::default() }).unwrap(),
            Some(Flip::default())
        );
        let except = |flip, names| DrawArgs { flip, flip_except: Some(labels(names)), image_sampling: None };
        let kept = flip(except(Some(true), &["Female"])).unwrap().unwrap();
        assert_eq!((kept.kept_attributes.len(), kept.kept_objects.len()), (0, 1));
        let alone = flip(except(None, &["Female"])).unwrap_err().to_string();
        assert!(alone.contains("give --flip too"), "{alone}");
        let misspelt = format!("{:#}", flip(except(Some(true), &["Femal"])).unwrap_err());
        assert!(
            misspelt.contains("--flip-except") && misspelt.contains("did you mean `Female`"),
            "{misspelt}"
        );
    }
}
