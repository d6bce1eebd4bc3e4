//! Which images, under which labels.

use cccm_data::Preset;
use serde::{Deserialize, Serialize};

/// Which images, under which labels.
#[derive(Clone, Debug, Default, clap::Args, Serialize, Deserialize)]
#[command(next_help_heading = "Data")]
#[serde(default)]
pub(crate) struct DataArgs {
    /// Images in folders `<attribute>_<object>`, or the folder of the four MNIST files (then Colored MNIST), or
    /// `builtin:colored-mnist`, `builtin:shapes` [default: builtin:colored-mnist]
    #[arg(long, value_name = "DIR")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) data: Option<String>,

    /// Labels by name: celeba, zappos50k, colored-mnist, shapes [default: discovered from the folders]
    #[arg(long, value_name = "NAME")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) preset: Option<Preset>,

    /// Attributes in index order, instead of a preset
    #[arg(long, value_name = "NAME", num_args = 1.., action = clap::ArgAction::Set, requires = "objects", conflicts_with = "preset")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) attributes: Option<Vec<String>>,

    /// Objects in index order, instead of a preset
    #[arg(long, value_name = "NAME", num_args = 1.., action = clap::ArgAction::Set, requires = "attributes")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) objects: Option<Vec<String>>,

    /// Side that images are stretched to, in pixels
    #[arg(long, value_name = "PX")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) img_size: Option<usize>,

    /// Pairs to hold out of the training, as folder names; `none` for none [default: none; for Colored MNIST the pairs
    /// with (colour index + digit) divisible by 5]
    #[arg(long, value_name = "PAIR", num_args = 1..)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ignored: Option<Vec<String>>,

    /// Count and go on without images that cannot be decoded, instead of stopping
    #[arg(long, num_args = 0, default_missing_value = "true")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) skip_bad_images: Option<bool>,
}
