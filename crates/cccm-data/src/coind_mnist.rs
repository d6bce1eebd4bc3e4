//! Colored MNIST as CoInD was measured on it: ten colours, each digit in one of them, and not every digit in every colour.

use std::collections::BTreeSet;

use rand::Rng;
use serde::{Deserialize, Serialize};

use cccm_labels::LabelKind;

use crate::{
    Combination, Dataset, Digits, Result, Vocabulary,
    dataset::{check_buffer, check_image_px},
    digest::DatasetDigest,
    pixels::{stretch, write_planes},
    random::{self, Purpose},
};

/// Names and RGB of the colours, in the order on which supports depend. The published values have two decimals; these are
/// their nearest levels of 255.
const COLORS: [(&str, [u8; 3]); 10] = [
    ("DarkSlateGray", [46, 79, 79]),
    ("ForestGreen", [33, 140, 33]),
    ("OrangeRed", [255, 69, 0]),
    ("Yellow", [255, 255, 0]),
    ("MediumVioletRed", [199, 20, 133]),
    ("Lime", [0, 255, 0]),
    ("RoyalBlue", [64, 105, 224]),
    ("Aqua", [0, 255, 255]),
    ("Blue", [0, 0, 255]),
    ("NavajoWhite", [255, 222, 173]),
];

/// Which digits training shows in which colours. Colours count in the order of [`CoindMnist::vocabulary_of_labels`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Support {
    /// Every digit in every colour, equally often.
    #[default]
    Uniform,
    /// Half of the images as in `Partial`, the others as in `Uniform`: all 100 combinations, 19 of them far more often.
    NonUniform,
    /// Digit `n` in colours `n` and `n + 1` alone, 9 in its own: 19 of 100 combinations.
    Partial,
}

impl Support {
    /// Whether training may show `combination`.
    pub fn shows(self, combination: Combination) -> bool {
        let (color, digit) = (combination[0], combination[1]);
        self != Self::Partial || color == digit || color == next(digit)
    }

    /// The colour of a digit.
    fn draw(self, digit: u32, rng: &mut impl Rng) -> u32 {
        let near = match self {
            Self::Uniform => false,
            Self::NonUniform => rng.random_bool(0.5),
            Self::Partial => true,
        };
        if near { rng.random_range(digit..=next(digit)) } else { rng.random_range(0..COLORS.len() as u32) }
    }
}

/// The second colour of a digit. It does not wrap around: the published code has `min(y + 1, 9)`.
const fn next(digit: u32) -> u32 {
    if digit + 1 < COLORS.len() as u32 { digit + 1 } else { digit }
}

/// How digits get their colours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CoindMnistConfig {
    /// Side of the images, in pixels; at 28, as published, no pixel is resampled.
    pub image_px: usize,
    /// Which digits have which colours.
    pub support: Support,
    /// What the colours are drawn from.
    pub seed: u64,
}

/// MNIST digits of one of ten colours each, on black: every pixel that has any ink has the whole colour, however grey it was.
/// The attribute is the colour, the object the digit.
///
/// These are the data of CoInD (Gaudi et al. 2025) as its published code makes them (`coind/datasets/coloredMNIST.py` of
/// sachit3022/compositional-generation at 99056cc), except for the random draws: there a digit's colour
/// depends on the state of the process, here on the seed and the digit's place.
///
/// ```
/// use cccm_data::{CoindMnist, CoindMnistConfig, Dataset, Digits, Support};
///
/// // Two 7s, as the official files would hold them.
/// let images = [&[0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 28, 0, 0, 0, 28][..], &[200; 2 * 28 * 28]].concat();
/// let digits = Digits::from_idx(&images, &[0, 0, 8, 1, 0, 0, 0, 2, 7, 7])?;
/// let config = CoindMnistConfig { image_px: 28, support: Support::Partial, seed: 0 };
/// let dataset = CoindMnist::new(digits, &config)?;
/// let colors = &dataset.vocabulary().kinds()[0];
/// assert_eq!(dataset.len(), 2);
/// assert!(["Aqua", "Blue"].contains(&&*colors.name_of(dataset.combination(0)[0])));
/// # Ok::<(), cccm_data::Error>(())
/// ```
#[derive(Debug)]
pub struct CoindMnist {
    vocabulary: Vocabulary,
    image_px: usize,
    digits: Digits,
    /// The colour of every digit.
    colors: Vec<u32>,
}

impl CoindMnist {
    /// Colours `digits`.
    ///
    /// # Errors
    /// [`Error::InvalidConfig`](crate::Error::InvalidConfig) for a bad size.
    pub fn new(digits: Digits, config: &CoindMnistConfig) -> Result<Self> {
        check_image_px(config.image_px)?;
        let color = |index: usize| {
            let mut rng = random::stream(config.seed, Purpose::Color, index as u64);
            config.support.draw(u32::from(digits.class(index)), &mut rng)
        };
        let colors = (0..digits.len()).map(color).collect();
        Ok(Self { vocabulary: Self::vocabulary_of_labels(), image_px: config.image_px, digits, colors })
    }

    /// The colours and the digits, each in their order.
    pub fn vocabulary_of_labels() -> Vocabulary {
        let colors = COLORS.map(|(name, _)| name.to_owned());
        let digits = (0..Digits::CLASSES).map(|digit| digit.to_string());
        Vocabulary::unchecked([LabelKind::new("attribute", colors), LabelKind::new("object", digits)])
    }

    /// The combinations that a support never shows, 81 of the partial one and none of the others.
    pub fn held_out(support: Support) -> BTreeSet<Combination> {
        Self::vocabulary_of_labels()
            .combinations()
            .filter(|combination| !support.shows(*combination))
            .collect()
    }
}

impl Dataset for CoindMnist {
    fn vocabulary(&self) -> &Vocabulary {
        &self.vocabulary
    }

    fn image_px(&self) -> usize {
        self.image_px
    }

    fn len(&self) -> usize {
        self.digits.len()
    }

    fn combination(&self, index: usize) -> Combination {
        Combination::from([self.colors[index], u32::from(self.digits.class(index))])
    }

    fn load(&self, index: usize, out: &mut [f32]) -> Result<()> {
        check_buffer(self.image_px, out)?;
        let (_, color) = COLORS[self.colors[index] as usize];
        let inked = |ink: &u8| if *ink > 0 { color } else { [0; 3] };
        let rgb: Vec<u8> = self.digits.pixels(index).iter().flat_map(inked).collect();
        if self.image_px == Digits::PX {
            write_planes(&rgb, out);
        } else {
            write_planes(&stretch(&rgb, (Digits::PX as u32, Digits::PX as u32), self.image_px), out);
        }
        Ok(())
    }

    fn describe(&self, index: usize) -> String {
        format!("digit {index} as {}", self.vocabulary.folder_name(&self.combination(index)))
    }

    /// Covers the pixels of all digits.
    fn digest(&self) -> Result<String> {
        let mut digest = DatasetDigest::new("coind mnist 1", &self.vocabulary, self.image_px);
        for (_, color) in COLORS {
            digest.bytes(&color);
        }
        for index in 0..self.len() {
            digest.bytes(self.digits.pixels(index));
            digest.combination(self.combination(index));
        }
        Ok(digest.finish())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Error, combination_counts, pixels::signed};

    /// `count` digits in turn, whose first pixel is black, the second the faintest grey, the others level 200.
    fn digits(count: usize) -> Digits {
        let pixels = [&[0, 1][..], &[200; 28 * 28 - 2]].concat();
        let classes = (0..count).map(|index| (index % 10) as u8).collect();
        Digits::new(pixels.repeat(count), classes, "test").unwrap()
    }

    fn dataset(support: Support, count: usize) -> CoindMnist {
        CoindMnist::new(digits(count), &CoindMnistConfig { image_px: 28, support, seed: 7 }).unwrap()
    }

    #[test]
    fn supports_show_what_they_say_as_often_as_they_say() {
        let counts = |support| combination_counts(&dataset(support, 20_000));
        let uniform = counts(Support::Uniform);
        // 2,000 of each digit, 200 of each combination: six standard deviations are 81.
        assert!(
            uniform.len() == 100 && uniform.values().all(|count| count.abs_diff(200) < 81),
            "{uniform:?}"
        );

        let partial = counts(Support::Partial);
        let shown = |combination: &Combination| Support::Partial.shows(*combination);
        assert!(partial.len() == 19 && partial.keys().all(shown));
        assert_eq!(CoindMnist::held_out(Support::Partial).len(), 81);
        assert_eq!(partial[&Combination::from([9, 9])], 2000);
        // Six standard deviations are 135.
        assert!(partial[&Combination::from([4, 3])].abs_diff(1000) < 135);

        let between = counts(Support::NonUniform);
        assert!(between.len() == 100 && CoindMnist::held_out(Support::NonUniform).is_empty());
        for (combination, count) in &between {
            // A quarter of a digit by the near half and a twentieth by the other.
            let want = if combination[1] == 9 && shown(combination) {
                1100
            } else if shown(combination) {
                600
            } else {
                100
            };
            assert!(count.abs_diff(want) < 135, "{combination:?} {count}");
        }
    }

    #[test]
    fn a_pixel_with_any_ink_has_the_whole_color() -> Result<()> {
        let dataset = dataset(Support::Partial, 10);
        let mut image = vec![f32::NAN; 3 * 28 * 28];
        dataset.load(9, &mut image)?;
        for (plane, level) in image.chunks_exact(28 * 28).zip([255, 222, 173]) {
            assert_eq!(plane[0], -1.0);
            assert!(plane[1..].iter().all(|value| *value == signed(level)));
        }
        Ok(())
    }

    #[test]
    fn other_sizes_are_stretched() -> Result<()> {
        let config = CoindMnistConfig { image_px: 32, support: Support::Partial, seed: 7 };
        let mut image = vec![f32::NAN; 3 * 32 * 32];
        CoindMnist::new(digits(10), &config)?.load(9, &mut image)?;
        assert_eq!(image[16 * 32 + 16], 1.0);
        Ok(())
    }

    #[test]
    fn colors_follow_from_seed_and_digit_alone() -> Result<()> {
        let colors = |count, seed| {
            let config = CoindMnistConfig { image_px: 28, support: Support::Uniform, seed };
            CoindMnist::new(digits(count), &config).map(|dataset| dataset.colors)
        };
        assert_eq!(colors(30, 7)?, colors(50, 7)?[..30]);
        assert_ne!(colors(30, 7)?, colors(30, 8)?);
        Ok(())
    }

    #[test]
    fn labels_are_folder_names_that_need_no_preset() -> Result<()> {
        let vocabulary = CoindMnist::vocabulary_of_labels();
        vocabulary.validate()?;
        for combination in vocabulary.combinations() {
            let name = vocabulary.folder_name(&combination);
            assert!(Vocabulary::split_plain(&name, 2).is_some(), "{name}");
        }
        Ok(())
    }

    #[test]
    fn the_digest_tells_supports_seeds_and_sizes_apart() -> Result<()> {
        let digest = |image_px, support, seed| {
            CoindMnist::new(digits(30), &CoindMnistConfig { image_px, support, seed })?.digest()
        };
        let one = digest(28, Support::Uniform, 7)?;
        assert_eq!(one, digest(28, Support::Uniform, 7)?);
        assert_ne!(one, digest(28, Support::Uniform, 8)?);
        assert_ne!(one, digest(28, Support::Partial, 7)?);
        assert_ne!(one, digest(32, Support::Uniform, 7)?);
        let error = digest(0, Support::Uniform, 7).unwrap_err();
        assert!(matches!(error, Error::InvalidConfig { field: "image_px", .. }));
        Ok(())
    }
}
