//! Vocabularies with a name: those of the published teachers and of the built-in data.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use cccm_labels::{LabelKind, Vocabulary, nearest};

use crate::{Error, Result};

/// Colours of drawn figures.
const COLORS: [&str; 6] = ["red", "green", "blue", "yellow", "black", "purple"];
/// Outlines of drawn figures.
const OUTLINES: [&str; 6] = ["Circle", "Rectangle", "Triangle", "Pentagon", "Oval", "Hexagon"];

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
    /// The same in two sizes: colour, outline and size, 6 × 6 × 2.
    SizedShapes,
}

impl Preset {
    /// Every preset.
    pub const ALL: [Self; 5] =
        [Self::Celeba, Self::Zappos50k, Self::ColoredMnist, Self::Shapes, Self::SizedShapes];

    /// The name, in kebab case.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Celeba => "celeba",
            Self::Zappos50k => "zappos50k",
            Self::ColoredMnist => "colored-mnist",
            Self::Shapes => "shapes",
            Self::SizedShapes => "sized-shapes",
        }
    }

    /// The labels, in the order that pretrained teachers of this vocabulary were trained with.
    pub fn vocabulary(self) -> Vocabulary {
        let pair = |attributes: &[&str], objects: &[&str]| {
            vec![
                LabelKind::new("attribute", attributes.iter().copied()),
                LabelKind::new("object", objects.iter().copied()),
            ]
        };
        Vocabulary::unchecked(match self {
            Self::Celeba => pair(&["BrownHair", "BlondHair", "GrayHair", "BlackHair"], &["Male", "Female"]),
            Self::Zappos50k => pair(&["Heel", "Flat"], &["Boot", "Shoe", "Slipper", "Sandal"]),
            Self::ColoredMnist => {
                let digits = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"];
                pair(&["bw", "red", "grn", "blu", "ylw"], &digits)
            }
            Self::Shapes => pair(&COLORS, &OUTLINES),
            Self::SizedShapes => vec![
                LabelKind::new("colour", COLORS),
                LabelKind::new("outline", OUTLINES),
                LabelKind::new("size", ["small", "large"]),
            ],
        })
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
             known: celeba, zappos50k, colored-mnist, shapes, sized-shapes"
        );
    }
}
