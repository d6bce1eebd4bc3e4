//! Text in bitmap fonts. Characters that these lack (they know Latin-1) come from fonts of the system, or are boxes.

use std::convert::Infallible;

use embedded_graphics::mono_font::iso_8859_1::{FONT_6X10, FONT_7X13_BOLD, FONT_9X15_BOLD, FONT_10X20};
use embedded_graphics::mono_font::{MonoFont, MonoTextStyle};
use embedded_graphics::pixelcolor::Rgb888;
use embedded_graphics::prelude::*;
use embedded_graphics::text::{Baseline, Text};
use image::{Rgb, RgbImage};

use crate::system_font::{Letter, letter};

/// Stands where a long text was cut.
const CUT: &str = "..";

/// Labels that can be drawn; in front of each that cannot, its number from 1 on, so that no two look the same.
pub(super) fn told_apart(labels: &[String]) -> Vec<String> {
    const ANY_HEIGHT: u32 = 10;
    let can_draw = |label: &String| {
        label.chars().all(|c| is_built_in(c) || !c.is_control() && letter(c, ANY_HEIGHT).is_some())
    };
    let told = |(place, label): (usize, &String)| {
        if can_draw(label) { label.clone() } else { format!("{}: {label}", place + 1) }
    };
    labels.iter().enumerate().map(told).collect()
}

fn is_built_in(c: char) -> bool {
    matches!(c, ' '..='~' | '\u{a0}'..='\u{ff}')
}

/// A font of fixed character size, with letters from elsewhere for the characters that it lacks.
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
        text.chars().map(|c| self.advance(c)).sum()
    }

    /// Pixels from one character to the next.
    fn advance(self, c: char) -> u32 {
        let foreign = (!is_built_in(c) && !c.is_control()).then(|| letter(c, self.height())).flatten();
        foreign.map_or(self.0.character_size.width, |letter| letter.width)
    }

    /// The text, or as much of its beginning as fits a width with a mark of the cut.
    pub(super) fn shorten(self, text: &str, width: u32) -> String {
        if self.width(text) <= width {
            return text.to_owned();
        }
        let mut room = width.saturating_sub(self.width(CUT));
        let fits = |c: &char| {
            let advance = self.advance(*c);
            let fits = advance <= room;
            room = room.saturating_sub(advance);
            fits
        };
        let cut: String = text.chars().take_while(fits).chain(CUT.chars()).collect();
        let room = (width / self.0.character_size.width) as usize;
        if room < CUT.len() { CUT.chars().take(room).collect() } else { cut }
    }

    /// Draws one line; `left` and `top` are its corner, and what leaves the picture is lost.
    pub(super) fn draw(self, picture: &mut RgbImage, text: &str, (left, top): (i32, i32), color: Rgb<u8>) {
        let Rgb([red, green, blue]) = color;
        let style = MonoTextStyle::new(self.0, Rgb888::new(red, green, blue));
        let mut at = Point::new(left, top);
        for c in text.chars() {
            let advance = self.advance(c);
            if is_built_in(c) || c.is_control() {
                // A line break would start a second line.
                let c = if c.is_control() { '?' } else { c };
                let mut bytes = [0; 4];
                let text = Text::with_baseline(c.encode_utf8(&mut bytes), at, style, Baseline::Top);
                let Ok(_) = text.draw(&mut Canvas(picture));
            } else {
                match letter(c, self.height()) {
                    Some(letter) => draw_letter(picture, &letter, at, color),
                    None => draw_box(picture, self.0.character_size, at, color),
                }
            }
            at.x += advance as i32;
        }
    }
}

fn draw_letter(picture: &mut RgbImage, letter: &Letter, at: Point, color: Rgb<u8>) {
    for (x, y, ink) in &letter.ink {
        // A negative coordinate becomes one beyond every picture.
        if let Some(pixel) = picture.get_pixel_mut_checked((at.x + x) as u32, (at.y + y) as u32) {
            for (level, of_ink) in pixel.0.iter_mut().zip(color.0) {
                *level = (f32::from(*level) * (1.0 - ink) + f32::from(of_ink) * ink).round() as u8;
            }
        }
    }
}

/// Stands where no font has a character.
fn draw_box(picture: &mut RgbImage, size: Size, at: Point, color: Rgb<u8>) {
    let (right, bottom) = (size.width as i32 - 2, size.height as i32 - 3);
    for y in 2..=bottom {
        for x in 1..=right {
            let is_edge = x == 1 || x == right || y == 2 || y == bottom;
            if is_edge
                && let Some(pixel) = picture.get_pixel_mut_checked((at.x + x) as u32, (at.y + y) as u32)
            {
                *pixel = color;
            }
        }
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
    fn characters_that_no_font_has_become_boxes() {
        // For private use, at the end of all planes.
        assert_eq!(drawn("\u{10fff0}"), drawn("\u{10fff1}"));
        let boxes = drawn("\u{10fff0}");
        assert!(boxes != drawn("?") && boxes != drawn("") && drawn("\n") == drawn("?"));
        assert_ne!(drawn("é"), drawn("?"));
    }

    #[test]
    fn labels_that_cannot_be_drawn_are_numbered() {
        let labels = ["é", "\u{10fff0}", "\u{10fff1}a", "x\n"].map(ToOwned::to_owned);
        assert_eq!(told_apart(&labels), ["é", "2: \u{10fff0}", "3: \u{10fff1}a", "4: x\n"]);
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
