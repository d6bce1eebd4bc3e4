//! Colored MNIST: every digit in five colours.

use std::collections::BTreeSet;

use crate::{
    Combination, CombinationFilter, Dataset, Digits, Preset, Result, Vocabulary,
    dataset::{check_buffer, check_image_px},
    digest::DatasetDigest,
    pixels::{stretch, write_planes},
};

/// RGB of the colours, in the order of the preset's attributes: bw, red, grn, blu, ylw.
const COLORS: [[u8; 3]; 5] = [[255, 255, 255], [255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 0]];
/// Side of the padded digits; at this size no pixel is resampled.
const CANVAS_PX: usize = 32;
const MARGIN_PX: usize = (CANVAS_PX - Digits::PX) / 2;

/// MNIST digits in coloured ink on black: ink is grey level times colour, 28 pixels are padded to
/// 32, and other sizes are stretched from there as PIL does. The attribute is the colour, the object the
/// digit ([`Preset::ColoredMnist`]).
///
/// Each digit appears once in every colour that the filter keeps for it, digit by digit. Only the
/// grey digits are kept in memory; an image is coloured when it is loaded.
///
/// ```
/// use cccm_data::{ColoredMnist, Dataset, Digits, CombinationFilter};
///
/// // One 7, as the official files would hold it.
/// let images = [&[0, 0, 8, 3, 0, 0, 0, 1, 0, 0, 0, 28, 0, 0, 0, 28][..], &[200; 28 * 28]].concat();
/// let digits = Digits::from_idx(&images, &[0, 0, 8, 1, 0, 0, 0, 1, 7])?;
/// let dataset = ColoredMnist::new(digits, 32, &CombinationFilter::Except(ColoredMnist::held_out()))?;
/// assert_eq!(dataset.len(), 4); // a blue 7 is held out
/// # Ok::<(), cccm_data::Error>(())
/// ```
#[derive(Debug)]
pub struct ColoredMnist {
    vocabulary: Vocabulary,
    image_px: usize,
    digits: Digits,
    /// Digit and colour of every image.
    images: Vec<(u32, u8)>,
}

impl ColoredMnist {
    /// Colours `digits` at `image_px` pixels a side.
    ///
    /// # Errors
    /// [`Error::AllHeldOut`](crate::Error::AllHeldOut) when `combinations` keeps none that the digits have,
    /// [`Error::InvalidConfig`](crate::Error::InvalidConfig) for a bad size.
    pub fn new(digits: Digits, image_px: usize, combinations: &CombinationFilter) -> Result<Self> {
        check_image_px(image_px)?;
        let combination = |color: u8, class: u8| Combination::from([u32::from(color), u32::from(class)]);
        let colors = 0..COLORS.len() as u8;
        let classes: BTreeSet<u8> = (0..digits.len()).map(|index| digits.class(index)).collect();
        combinations.kept(
            colors.clone().flat_map(|color| classes.iter().map(move |&class| combination(color, class))),
        )?;

        let mut images = Vec::new();
        for digit in 0..digits.len() {
            let kept =
                colors.clone().filter(|&color| combinations.keeps(combination(color, digits.class(digit))));
            images.extend(kept.map(|color| (digit as u32, color)));
        }
        Ok(Self { vocabulary: Preset::ColoredMnist.vocabulary(), image_px, digits, images })
    }

    /// The ten combinations that are held out by custom, two of each colour and one of each digit: those
    /// whose colour index plus digit is divisible by 5.
    pub fn held_out() -> BTreeSet<Combination> {
        Preset::ColoredMnist
            .vocabulary()
            .combinations()
            .filter(|combination| (combination[0] + combination[1]) % 5 == 0)
            .collect()
    }
}

impl Dataset for ColoredMnist {
    fn vocabulary(&self) -> &Vocabulary {
        &self.vocabulary
    }

    fn image_px(&self) -> usize {
        self.image_px
    }

    fn len(&self) -> usize {
        self.images.len()
    }

    fn combination(&self, index: usize) -> Combination {
        let (digit, color) = self.images[index];
        Combination::from([u32::from(color), u32::from(self.digits.class(digit as usize))])
    }

    fn load(&self, index: usize, out: &mut [f32]) -> Result<()> {
        check_buffer(self.image_px, out)?;
        let (digit, color) = self.images[index];
        let canvas = colored(self.digits.pixels(digit as usize), COLORS[usize::from(color)]);
        if self.image_px == CANVAS_PX {
            write_planes(&canvas, out);
        } else {
            let size = (CANVAS_PX as u32, CANVAS_PX as u32);
            write_planes(&stretch(&canvas, size, self.image_px), out);
        }
        Ok(())
    }

    fn describe(&self, index: usize) -> String {
        let name = self.vocabulary.folder_name(&self.combination(index));
        format!("digit {} as {name}", self.images[index].0)
    }

    /// Covers the pixels of all digits.
    fn digest(&self) -> Result<String> {
        let mut digest = DatasetDigest::new("colored mnist 1", &self.vocabulary, self.image_px);
        for index in 0..self.digits.len() {
            digest.bytes(self.digits.pixels(index));
        }
        for color in COLORS {
            digest.bytes(&color);
        }
        for (index, (digit, _)) in self.images.iter().enumerate() {
            digest.combination(self.combination(index));
            digest.number(u64::from(*digit));
        }
        Ok(digest.finish())
    }
}

/// A grey digit as interleaved RGB, with its margin.
fn colored(digit: &[u8], color: [u8; 3]) -> Vec<u8> {
    let mut canvas = vec![0; 3 * CANVAS_PX * CANVAS_PX];
    let rows = canvas.chunks_exact_mut(3 * CANVAS_PX).skip(MARGIN_PX);
    for (row, inks) in rows.zip(digit.chunks_exact(Digits::PX)) {
        for (pixel, &ink) in row.chunks_exact_mut(3).skip(MARGIN_PX).zip(inks) {
            // The colours are pure, all or nothing of each channel, so that multiplying is masking.
            pixel.copy_from_slice(&color.map(|level| level & ink));
        }
    }
    canvas
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Error;

    /// Digits 0 to 9, digit `n` with ink of level `100 + n` everywhere.
    fn ten_digits() -> Digits {
        let pixels = (0..10).flat_map(|class| [100 + class; 28 * 28]).collect();
        Digits::new(pixels, (0..10).collect(), "test").unwrap()
    }

    fn load(dataset: &ColoredMnist, index: usize) -> Vec<f32> {
        let mut image = vec![f32::NAN; 3 * dataset.image_px() * dataset.image_px()];
        dataset.load(index, &mut image).unwrap();
        image
    }

    #[test]
    fn customary_held_out_pairs_are_two_of_each_color() {
        let vocabulary = Preset::ColoredMnist.vocabulary();
        let names: Vec<_> = ColoredMnist::held_out()
            .into_iter()
            .map(|combination| vocabulary.folder_name(&combination))
            .collect();
        assert_eq!(
            names,
            ["bw_0", "bw_5", "red_4", "red_9", "grn_3", "grn_8", "blu_2", "blu_7", "ylw_1", "ylw_6"]
        );
    }

    #[test]
    fn each_digit_has_every_color_that_is_kept() -> Result<()> {
        let all = ColoredMnist::new(ten_digits(), 32, &CombinationFilter::all())?;
        let seen = ColoredMnist::new(ten_digits(), 32, &CombinationFilter::Except(ColoredMnist::held_out()))?;
        let unseen = ColoredMnist::new(ten_digits(), 32, &CombinationFilter::Only(ColoredMnist::held_out()))?;
        assert_eq!((all.len(), seen.len(), unseen.len()), (50, 40, 10));
        let combinations = |dataset: &ColoredMnist| {
            (0..dataset.len()).map(|i| dataset.combination(i)).collect::<BTreeSet<_>>()
        };
        assert_eq!(combinations(&unseen), ColoredMnist::held_out());
        assert!(combinations(&seen).is_disjoint(&combinations(&unseen)));
        Ok(())
    }

    #[test]
    fn ink_is_grey_times_color_and_the_margin_black() -> Result<()> {
        let dataset = ColoredMnist::new(ten_digits(), 32, &CombinationFilter::all())?;
        let ink = crate::pixels::signed(107);
        // Digit 7 in bw, red, grn, blu, ylw: which channels carry ink.
        let channels = [
            [true; 3],
            [true, false, false],
            [false, true, false],
            [false, false, true],
            [true, true, false],
        ];
        for (color, carries) in channels.into_iter().enumerate() {
            let image = load(&dataset, 7 * 5 + color);
            for (channel, carries) in carries.into_iter().enumerate() {
                for row in 0..32 {
                    for column in 0..32 {
                        let inside = (2..30).contains(&row) && (2..30).contains(&column);
                        let want = if carries && inside { ink } else { -1.0 };
                        assert_eq!(image[(channel * 32 + row) * 32 + column], want);
                    }
                }
            }
        }
        Ok(())
    }

    #[test]
    fn other_sizes_are_stretched() -> Result<()> {
        for px in [16, 64] {
            let image = load(&ColoredMnist::new(ten_digits(), px, &CombinationFilter::all())?, 0);
            assert_eq!(image[px * px / 2 + px / 2], crate::pixels::signed(100));
            assert!(image[0] < -0.95, "{}", image[0]);
        }
        Ok(())
    }

    #[test]
    fn holding_out_what_the_digits_have_is_an_error() {
        let sevens = Digits::new(vec![0; 28 * 28], vec![7], "test").unwrap();
        let sevens_combinations = Preset::ColoredMnist
            .vocabulary()
            .combinations()
            .filter(|combination| combination[1] == 7)
            .collect();
        let error =
            ColoredMnist::new(sevens, 32, &CombinationFilter::Except(sevens_combinations)).unwrap_err();
        assert!(matches!(error, Error::AllHeldOut { combinations: 5 }), "{error}");
    }

    #[test]
    fn size_zero_is_an_error() {
        let error = ColoredMnist::new(ten_digits(), 0, &CombinationFilter::all()).unwrap_err();
        assert_eq!(error.to_string(), "`image_px` is 0, but must be between 1 and 16384");
    }
}
