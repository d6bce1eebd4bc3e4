//! Vocabularies with a name: those of the published teachers and of the built-in data.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{Error, Result, Vocabulary, nearest::nearest};

/// A vocabulary with a name, as `celeba` or `colored-mnist`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Preset {
    /// Faces: hair colour and gender, 4 × 2.
    Celeba,
    /// Shoes: heel and kind, 2 × 4.
    Zappos50k,
    /// Digits: colour and class, 5 × 10.
    ColoredMnist,
    /// Drawn figures: colour and outline, 6 × 6.
    Shapes,
}

impl Preset {
    /// Every preset.
    pub const ALL: [Self; 4] = [Self::Celeba, Self::Zappos50k, Self::ColoredMnist, Self::Shapes];

    /// The name, in kebab case.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Celeba => "celeba",
            Self::Zappos50k => "zappos50k",
            Self::ColoredMnist => "colored-mnist",
            Self::Shapes => "shapes",
        }
    }

    /// The labels, in the order that pretrained teachers of this vocabulary were trained with.
    pub fn vocabulary(self) -> Vocabulary {
        let (attributes, objects): (&[&str], &[&str]) = match self {
            Self::Celeba => (&["BrownHair", "BlondHair", "GrayHair", "BlackHair"], &["Male", "Female"]),
            Self::Zappos50k => (&["Heel", "Flat"], &["Boot", "Shoe", "Slipper", "Sandal"]),
            Self::ColoredMnist => {
                (&["bw", "red", "grn", "blu", "ylw"], &["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"])
            }
            Self::Shapes => (
                &["red", "green", "blue", "yellow", "black", "purple"],
                &["Circle", "Rectangle", "Triangle", "Pentagon", "Oval", "Hexagon"],
            ),
        };
        let owned = |names: &[&str]| names.iter().map(ToString::to_string).collect();
        Vocabulary { attributes: owned(attributes), objects: owned(objects) }
    }
}

impl fmt::Display for Preset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Preset {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let names = Self::ALL.map(Self::name);
        Self::ALL.into_iter().find(|preset| preset.name() == name).ok_or_else(|| Error::UnknownPreset {
            got: name.to_owned(),
            nearest: nearest(name, names),
            known: names.join(", "),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back() -> Result<()> {
        for preset in Preset::ALL {
            assert_eq!(preset.to_string().parse::<Preset>()?, preset);
            assert_eq!(serde_json::to_string(&preset).unwrap(), format!("\"{preset}\""));
            preset.vocabulary().validate()?;
        }
        Ok(())
    }

    #[test]
    fn misspelt_name_finds_the_right_one() {
        let error = "coloured-mnist".parse::<Preset>().unwrap_err();
        assert_eq!(
            error.to_string(),
            "unknown preset `coloured-mnist`, did you mean `colored-mnist`?; \
             known: celeba, zappos50k, colored-mnist, shapes"
        );
    }
}
