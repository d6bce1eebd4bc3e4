//! Text in bitmap fonts. A character that the fonts lack (they know Latin-1) is drawn as `?`.

use std::convert::Infallible;

use embedded_graphics::mono_font::iso_8859_1::{FONT_6X10, FONT_7X13_BOLD, FONT_9X15_BOLD, FONT_10X20};
use embedded_graphics::mono_font::{MonoFont, MonoTextStyle};
use embedded_graphics::pixelcolor::Rgb888;
use embedded_graphics::prelude::*;
use embedded_graphics::text::{Baseline, Text};
use image::{Rgb, RgbImage};

/// Stands where a long text was cut.
const CUT: &str = "..";

/// Labels that the fonts can draw; in front of each that they cannot, its number from 1 on, so that no two look the same.
pub(super) fn told_apart(labels: &[String]) -> Vec<String> {
    let can_draw = |label: &String| label.chars().all(|c| matches!(c, ' '..='~' | '\u{a0}'..='\u{ff}'));
    let told = |(place, label): (usize, &String)| {
        if can_draw(label) { label.clone() } else { format!("{}: {label}", place + 1) }
    };
    labels.iter().enumerate().map(told).collect()
}

/// A font of fixed character size.
#[derive(Clone, Copy, Debug)]
pub(super) struct Font(&'static MonoFont<'static>);

impl Font {
    const SIZES: [Self; 4] =
        [Self(&FONT_10X20), Self(&FONT_9X15_BOLD), Self(&FONT_7X13_BOLD), Self(&FONT_6X10)];

    /// The largest font, up to a height, in which every text fits a width; the smallest if none does.
    pub(super) fn fitting<'a>(texts: impl Iterator<Item = &'a str> + Clone, width: u32, height: u32) -> Self {
        let [.., smallest] = Self::SIZES;
        let fits =
            |font: &Self| font.height() <= height && texts.clone().all(|text| font.width(text) <= width);
        Self::SIZES.into_iter().find(fits).unwrap_or(smallest)
    }

    /// Height of a line in pixels.
    pub(super) fn height(self) -> u32 {
        self.0.character_size.height
    }

    /// Width of a text in pixels.
    pub(super) fn width(self, text: &str) -> u32 {
        text.chars().count() as u32 * self.0.character_size.width
    }

    /// The text, or as much of its beginning as fits a width with a mark of the cut.
    pub(super) fn shorten(self, text: &str, width: u32) -> String {
        if self.width(text) <= width {
            return text.to_owned();
        }
        let room = (width / self.0.character_size.width) as usize;
        text.chars().take(room.saturating_sub(CUT.len())).chain(CUT.chars()).take(room).collect()
    }

    /// Draws one line; `left` and `top` are its corner, and what leaves the picture is lost.
    pub(super) fn draw(self, picture: &mut RgbImage, text: &str, (left, top): (i32, i32), color: Rgb<u8>) {
        // A line break would start a second line.
        let line: String = text.chars().map(|c| if c.is_control() { '?' } else { c }).collect();
        let Rgb([red, green, blue]) = color;
        let style = MonoTextStyle::new(self.0, Rgb888::new(red, green, blue));
        let at = Point::new(left, top);
        let Ok(_) = Text::with_baseline(&line, at, style, Baseline::Top).draw(&mut Canvas(picture));
    }
}

/// The picture as embedded-graphics sees it.
struct Canvas<'a>(&'a mut RgbImage);

impl OriginDimensions for Canvas<'_> {
    fn size(&self) -> Size {
        Size::new(self.0.width(), self.0.height())
    }
}

impl DrawTarget for Canvas<'_> {
    type Color = Rgb888;
    type Error = Infallible;

    fn draw_iter<I: IntoIterator<Item = Pixel<Rgb888>>>(&mut self, pixels: I) -> Result<(), Infallible> {
        for Pixel(at, color) in pixels {
            // A negative coordinate becomes one beyond every picture.
            if let Some(pixel) = self.0.get_pixel_mut_checked(at.x as u32, at.y as u32) {
                *pixel = Rgb([color.r(), color.g(), color.b()]);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BLACK: Rgb<u8> = Rgb([0, 0, 0]);
    const FONT: Font = Font(&FONT_6X10);

    fn drawn(text: &str) -> RgbImage {
        let mut picture = RgbImage::from_pixel(80, 30, Rgb([255; 3]));
        FONT.draw(&mut picture, text, (10, 10), BLACK);
        picture
    }

    #[test]
    fn text_stays_in_its_box() {
        let picture = drawn("Abc");
        let ink: Vec<_> = picture.enumerate_pixels().filter(|(.., color)| **color == BLACK).collect();
        assert!(ink.len() > 20);
        assert!(ink.iter().all(|(x, y, _)| (10..10 + FONT.width("Abc")).contains(x) && (10..20).contains(y)));
    }

    #[test]
    fn unknown_characters_become_question_marks() {
        assert_eq!(drawn("青\n"), drawn("??"));
        assert_ne!(drawn("é"), drawn("?"));
    }

    #[test]
    fn labels_that_cannot_be_drawn_are_numbered() {
        let labels = ["é", "日本", "中国", "x\n"].map(ToOwned::to_owned);
        assert_eq!(told_apart(&labels), ["é", "2: 日本", "3: 中国", "4: x\n"]);
    }

    #[test]
    fn text_beyond_the_picture_is_lost() {
        let mut picture = RgbImage::new(4, 4);
        FONT.draw(&mut picture, "a long text", (2, 2), BLACK);
        FONT.draw(&mut picture, "a long text", (40, 40), BLACK);
    }

    #[test]
    fn long_text_is_cut_to_the_width() {
        assert_eq!(FONT.shorten("Rectangle", 54), "Rectangle");
        assert_eq!(FONT.shorten("Rectangle", 53), "Rectan..");
        assert_eq!(FONT.shorten("Rectangle", 13), "..");
        assert_eq!(FONT.shorten("Rectangle", 5), "");
        assert_eq!(FONT.shorten("Größe", 24), "Gr..");
    }

    #[test]
    fn the_largest_font_that_fits_is_taken() {
        let height =
            |texts: &[&str], width, height| Font::fitting(texts.iter().copied(), width, height).height();
        assert_eq!(height(&["7"], 64, 100), 20);
        assert_eq!(height(&["7"], 64, 16), 15);
        assert_eq!(height(&["7", "Rectangle"], 64, 16), 13);
        assert_eq!(height(&["a label longer than any cell"], 64, 16), 10);
    }
}
