//! Letters that the built-in fonts lack, from the fonts of the system: a picture with Chinese labels looks as that system draws
//! them, and boxes stand where it has no font for them.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use ab_glyph::{Font as _, FontVec, PxScale, ScaleFont as _, point};
use fontdb::{Database, ID, Style};

/// Characters that fonts are searched for: labels have fewer.
const MOST_SEARCHED: usize = 5_000;

/// A letter, drawn.
#[derive(Clone, Debug, Default)]
pub(crate) struct Letter {
    /// Pixels to the next letter.
    pub(crate) width: u32,
    /// Where it has ink, from the upper left corner of its line, and how much of it, in `(0, 1]`.
    pub(crate) ink: Vec<(i32, i32, f32)>,
}

/// The letter for a character in a line of this height, in pixels, if any font of the system has it.
pub(crate) fn letter(character: char, height: u32) -> Option<Arc<Letter>> {
    static FONTS: LazyLock<Mutex<Fonts>> = LazyLock::new(|| Mutex::new(Fonts::of_the_system()));
    // What is in it is whole after any panic.
    FONTS.lock().unwrap_or_else(PoisonError::into_inner).letter(character, height)
}

/// Fonts, of which those that are needed are open.
struct Fonts {
    database: Database,
    /// Upright and of common weight first, then by name, so that a system draws the same each time.
    order: Vec<ID>,
    open: HashMap<ID, FontVec>,
    found: HashMap<char, Option<ID>>,
    /// Drawn before, by character and height.
    letters: HashMap<(char, u32), Option<Arc<Letter>>>,
}

impl Fonts {
    fn of_the_system() -> Self {
        let mut database = Database::new();
        database.load_system_fonts();
        Self::new(database)
    }

    fn new(database: Database) -> Self {
        let mut faces: Vec<_> = database.faces().collect();
        faces.sort_by_key(|face| {
            let is_plain = face.style == Style::Normal && face.weight == fontdb::Weight::NORMAL;
            (Reverse(is_plain), face.post_script_name.clone(), face.index)
        });
        let order = faces.into_iter().map(|face| face.id).collect();
        Self { database, order, open: HashMap::new(), found: HashMap::new(), letters: HashMap::new() }
    }

    fn letter(&mut self, character: char, height: u32) -> Option<Arc<Letter>> {
        if let Some(drawn) = self.letters.get(&(character, height)) {
            return drawn.clone();
        }
        let drawn = self.draw(character, height).map(Arc::new);
        if self.letters.len() < MOST_SEARCHED {
            self.letters.insert((character, height), drawn.clone());
        }
        drawn
    }

    fn draw(&mut self, character: char, height: u32) -> Option<Letter> {
        let id = self.face_with(character)?;
        let font = self.open.get(&id)?.as_scaled(PxScale::from(height as f32));
        let mut glyph = font.scaled_glyph(character);
        glyph.position = point(0.0, font.ascent());
        let mut letter = Letter { width: font.h_advance(glyph.id).ceil() as u32, ink: Vec::new() };
        if let Some(outline) = font.outline_glyph(glyph) {
            let (left, top) = (outline.px_bounds().min.x as i32, outline.px_bounds().min.y as i32);
            outline.draw(|x, y, ink| {
                if ink > 0.0 {
                    letter.ink.push((left + x as i32, top + y as i32, ink.min(1.0)));
                }
            });
        }
        Some(letter)
    }

    fn face_with(&mut self, character: char) -> Option<ID> {
        if let Some(found) = self.found.get(&character) {
            return *found;
        }
        if self.found.len() >= MOST_SEARCHED {
            return None;
        }
        let found = self.order.iter().copied().find(|id| {
            if let Some(font) = self.open.get(id) {
                return draws(font, character);
            }
            let opened = self.database.with_face_data(*id, |data, index| {
                let font = ab_glyph::FontRef::try_from_slice_and_index(data, index).ok()?;
                (font.glyph_id(character).0 != 0)
                    .then(|| FontVec::try_from_vec_and_index(data.to_vec(), index).ok())?
            });
            match opened.flatten() {
                Some(font) => {
                    self.open.insert(*id, font);
                    true
                }
                None => false,
            }
        });
        self.found.insert(character, found);
        found
    }
}

/// Whether a font has ink for a character: fonts of coloured pictures have none, and some fonts are blank on purpose.
fn draws(font: &impl ab_glyph::Font, character: char) -> bool {
    let glyph = font.glyph_id(character);
    glyph.0 != 0 && (character.is_whitespace() || font.outline(glyph).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two letters, `A` and `\u{65e5}`: a full square and one with a hole.
    fn fonts() -> Fonts {
        let mut database = Database::new();
        database.load_font_data(include_bytes!("../tests/fixtures/squares.ttf").to_vec());
        Fonts::new(database)
    }

    #[test]
    fn a_letter_has_its_ink_within_its_line() {
        let mut fonts = fonts();
        let square = fonts.letter('A', 20).unwrap();
        let ring = fonts.letter('\u{65e5}', 20).unwrap();
        assert!(ring.ink.len() < square.ink.len() && ring.ink.len() > 50);
        for (x, y, ink) in &square.ink {
            assert!((0..20).contains(x) && (0..20).contains(y) && (0.0..=1.0).contains(ink), "{x} {y} {ink}");
        }
        assert_eq!(fonts.letter('A', 10).unwrap().width, square.width.div_ceil(2));
    }

    #[test]
    fn what_no_font_has_is_not_there() {
        let mut fonts = fonts();
        assert!(fonts.letter('\u{4e2d}', 20).is_none() && fonts.letter('B', 20).is_none());
        assert_eq!(fonts.found.len(), 2);
    }
}
