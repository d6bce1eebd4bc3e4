//! Coloured shapes, drawn from a seed: a dataset that needs no files.

use std::f64::consts::TAU;

use rand::Rng;

use crate::{
    Dataset, Error, Pair, PairFilter, Preset, Result, Vocabulary,
    dataset::{check_buffer, check_image_px},
    digest::DatasetDigest,
    pixels::signed,
    random::{self, Purpose},
};

/// RGB of the colours, in the order of the preset's attributes.
const COLORS: [[u8; 3]; 6] =
    [[220, 30, 40], [30, 160, 60], [40, 80, 220], [250, 205, 20], [20, 20, 20], [135, 40, 150]];
/// RGB behind the shapes.
const BACKGROUND: [u8; 3] = [255, 255, 255];
/// Radius of the circle around a shape, as a share of the image's side.
const RADIUS: std::ops::Range<f64> = 0.2..0.4;
/// Height of the rectangle and the oval, as a share of their width: far from square and circle.
const FLATNESS: f64 = 0.55;

/// Which shapes are drawn.
#[derive(Clone, Debug)]
pub struct ShapesConfig {
    /// Side of the images, in pixels.
    pub image_px: usize,
    /// How many images each pair gets, at least 1.
    pub images_per_pair: usize,
    /// Everything random follows from it.
    pub seed: u64,
    /// Which pairs are drawn.
    pub pairs: PairFilter,
}

/// One shape per image on white, at a random place, of random size and rotation, antialiased. The
/// attribute is the colour, the object the outline ([`Preset::Shapes`]).
///
/// Images are drawn when they are loaded. An image depends on the seed, its pair and its number
/// within the pair only, so that a filter or a larger count changes no picture.
#[derive(Debug)]
pub struct Shapes {
    vocabulary: Vocabulary,
    image_px: usize,
    images_per_pair: usize,
    seed: u64,
    pairs: Vec<Pair>,
    outlines: [Outline; 6],
}

impl Shapes {
    /// The dataset that `config` describes, pair by pair.
    ///
    /// # Errors
    /// [`Error::AllHeldOut`] when the filter keeps no pair, [`Error::InvalidConfig`] for a bad size or
    /// count.
    pub fn new(config: &ShapesConfig) -> Result<Self> {
        check_image_px(config.image_px)?;
        let images_per_pair = config.images_per_pair;
        // The upper end keeps the number of an image within half of its stream number.
        if !(1..=u32::MAX as usize).contains(&images_per_pair) {
            let got = images_per_pair.to_string();
            return Err(Error::InvalidConfig {
                field: "images_per_pair",
                got,
                want: "between 1 and 2^32 - 1",
            });
        }
        let vocabulary = Preset::Shapes.vocabulary();
        let pairs = config.pairs.kept(vocabulary.pairs())?;
        Ok(Self {
            vocabulary,
            image_px: config.image_px,
            images_per_pair,
            seed: config.seed,
            pairs,
            outlines: Outline::all(),
        })
    }
}

impl Dataset for Shapes {
    fn vocabulary(&self) -> &Vocabulary {
        &self.vocabulary
    }

    fn image_px(&self) -> usize {
        self.image_px
    }

    fn len(&self) -> usize {
        self.pairs.len() * self.images_per_pair
    }

    fn pair(&self, index: usize) -> Pair {
        self.pairs[index / self.images_per_pair]
    }

    fn load(&self, index: usize, out: &mut [f32]) -> Result<()> {
        check_buffer(self.image_px, out)?;
        let pair = self.pair(index);
        let pair_number =
            u64::from(pair.attribute) * self.vocabulary.objects.len() as u64 + u64::from(pair.object);
        let number = pair_number << 32 | (index % self.images_per_pair) as u64;
        let mut rng = random::stream(self.seed, Purpose::Shape, number);
        let (color, outline) = (COLORS[pair.attribute as usize], &self.outlines[pair.object as usize]);
        Placement::draw(&mut rng).paint(outline, color, self.image_px, out);
        Ok(())
    }

    fn describe(&self, index: usize) -> String {
        let name = self.vocabulary.folder_name(self.pair(index));
        format!("{name} number {}", index % self.images_per_pair)
    }

    /// Covers the configuration, from which all pictures follow.
    fn digest(&self) -> Result<String> {
        let mut digest = DatasetDigest::new("shapes 1", &self.vocabulary, self.image_px);
        digest.number(self.seed);
        digest.number(self.images_per_pair as u64);
        for &pair in &self.pairs {
            digest.pair(pair);
        }
        Ok(digest.finish())
    }
}

/// A convex outline around the origin, within the unit circle.
#[derive(Debug)]
enum Outline {
    /// One unit wide to both sides.
    Ellipse { height: f64 },
    /// What is inside all of these lines.
    Polygon(Vec<Line>),
}

/// The points with `x · cos + y · sin = offset`; those with less are inside.
#[derive(Debug)]
struct Line {
    cos: f64,
    sin: f64,
    offset: f64,
}

impl Outline {
    /// In the order of the preset's objects.
    fn all() -> [Self; 6] {
        [
            Self::Ellipse { height: 1.0 },
            Self::rectangle(),
            Self::regular_polygon(3),
            Self::regular_polygon(5),
            Self::Ellipse { height: FLATNESS },
            Self::regular_polygon(6),
        ]
    }

    fn rectangle() -> Self {
        let half_width = 1.0 / 1.0_f64.hypot(FLATNESS);
        let sides = (0..4).zip([half_width, FLATNESS * half_width].into_iter().cycle());
        Self::Polygon(sides.map(|(side, offset)| Line::new(f64::from(side) / 4.0, offset)).collect())
    }

    fn regular_polygon(sides: u32) -> Self {
        let sides = f64::from(sides);
        let offset = (TAU / sides / 2.0).cos();
        Self::Polygon((0..sides as u32).map(|side| Line::new(f64::from(side) / sides, offset)).collect())
    }

    /// Distance from the point to the outline, negative inside; true to first order near the
    /// outline, and of the right sign everywhere.
    fn signed_distance(&self, x: f64, y: f64) -> f64 {
        match self {
            Self::Polygon(lines) => {
                lines.iter().map(|line| x * line.cos + y * line.sin - line.offset).fold(f64::MIN, f64::max)
            }
            Self::Ellipse { height } => {
                // An implicit function of the ellipse, over the length of its gradient.
                let length = |x: f64, y: f64| (x * x + y * y).sqrt();
                let radius = length(x, y / height);
                let gradient = length(x, y / (height * height));
                if gradient == 0.0 { -height } else { radius * (radius - 1.0) / gradient }
            }
        }
    }
}

impl Line {
    /// `turns`: where the line faces, as a share of a full turn.
    fn new(turns: f64, offset: f64) -> Self {
        let (sin, cos) = (TAU * turns).sin_cos();
        Self { cos, sin, offset }
    }
}

/// Where a shape stands; lengths are shares of the image's side.
struct Placement {
    x: f64,
    y: f64,
    radius: f64,
    rotation: f64,
}

impl Placement {
    /// A placement with the whole shape inside the image.
    fn draw(rng: &mut impl Rng) -> Self {
        let radius = rng.random_range(RADIUS);
        let x = rng.random_range(radius..1.0 - radius);
        let y = rng.random_range(radius..1.0 - radius);
        Self { x, y, radius, rotation: rng.random_range(0.0..TAU) }
    }

    fn paint(&self, outline: &Outline, color: [u8; 3], image_px: usize, out: &mut [f32]) {
        let (sin, cos) = self.rotation.sin_cos();
        let px = image_px as f64;
        let (ink, paper) = (color.map(signed), BACKGROUND.map(signed));
        let area = image_px * image_px;
        for row in 0..image_px {
            let dy = (row as f64 + 0.5) / px - self.y;
            for column in 0..image_px {
                let dx = (column as f64 + 0.5) / px - self.x;
                let (x, y) = ((dx * cos + dy * sin) / self.radius, (dy * cos - dx * sin) / self.radius);
                let distance_px = outline.signed_distance(x, y) * self.radius * px;
                // The share of the pixel inside a straight edge at this distance.
                let cover = (0.5 - distance_px).clamp(0.0, 1.0) as f32;
                for channel in 0..3 {
                    let index = channel * area + row * image_px + column;
                    out[index] = (1.0 - cover) * paper[channel] + cover * ink[channel];
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shapes(image_px: usize, images_per_pair: usize, seed: u64) -> Shapes {
        Shapes::new(&ShapesConfig { image_px, images_per_pair, seed, pairs: PairFilter::all() }).unwrap()
    }

    fn load(shapes: &Shapes, index: usize) -> Vec<f32> {
        let mut image = vec![f32::NAN; 3 * shapes.image_px * shapes.image_px];
        shapes.load(index, &mut image).unwrap();
        image
    }

    /// The area inside an outline of radius 1, by counting.
    fn area(outline: &Outline) -> f64 {
        let steps = 400;
        let at = |step: i32| (f64::from(step) + 0.5) / 200.0 - 1.0;
        let inside =
            (0..steps * steps).filter(|i| outline.signed_distance(at(i % steps), at(i / steps)) < 0.0);
        inside.count() as f64 * 4.0 / f64::from(steps * steps)
    }

    #[test]
    fn outlines_have_the_areas_of_their_names() {
        let polygon = |sides: f64| sides / 2.0 * (TAU / sides).sin();
        let half_width = 1.0 / 1.0_f64.hypot(FLATNESS);
        let want = [
            TAU / 2.0,
            4.0 * FLATNESS * half_width * half_width,
            polygon(3.0),
            polygon(5.0),
            TAU / 2.0 * FLATNESS,
            polygon(6.0),
        ];
        for (outline, want) in Outline::all().iter().zip(want) {
            assert!((area(outline) - want).abs() < 0.01, "{outline:?}: {} instead of {want}", area(outline));
        }
    }

    #[test]
    fn the_middle_of_every_outline_is_inside() {
        assert!(Outline::all().iter().all(|outline| outline.signed_distance(0.0, 0.0) < -0.3));
    }

    #[test]
    fn images_show_their_color_on_white_and_leave_the_border_free() {
        let shapes = shapes(24, 3, 7);
        assert_eq!(shapes.len(), 36 * 3);
        for index in 0..shapes.len() {
            let (image, pair) = (load(&shapes, index), shapes.pair(index));
            let ink = COLORS[pair.attribute as usize].map(signed);
            let pixel = |at: usize| [image[at], image[576 + at], image[2 * 576 + at]];
            let inked = (0..576).filter(|&at| pixel(at) == ink).count();
            let white = (0..576).filter(|&at| pixel(at) == [1.0; 3]).count();
            // The smallest triangle has a radius of 4.8 px and so an area of 30.
            assert!(inked > 10 && white > 200, "{}: {inked} inked, {white} white", shapes.describe(index));
            assert!([0, 23, 552, 575].iter().all(|&corner| pixel(corner) == [1.0; 3]));
            assert!(image.iter().all(|value| (-1.0..=1.0).contains(value)));
        }
    }

    #[test]
    fn an_image_depends_on_seed_pair_and_number_alone() {
        let few = shapes(16, 2, 7);
        let many = shapes(16, 5, 7);
        assert_eq!(load(&few, 2 * 9 + 1), load(&many, 5 * 9 + 1));
        assert_ne!(load(&few, 0), load(&few, 1));
        assert_ne!(load(&few, 0), load(&shapes(16, 2, 8), 0));

        let pairs = PairFilter::Only([few.pair(2 * 9)].into());
        let only = Shapes::new(&ShapesConfig { image_px: 16, images_per_pair: 2, seed: 7, pairs }).unwrap();
        assert_eq!(load(&few, 2 * 9 + 1), load(&only, 1));
    }

    #[test]
    fn nothing_to_draw_is_an_error() {
        let config =
            |image_px, images_per_pair, pairs| ShapesConfig { image_px, images_per_pair, seed: 0, pairs };
        let everything = Preset::Shapes.vocabulary().pairs().collect();
        let error = Shapes::new(&config(8, 1, PairFilter::Except(everything))).unwrap_err();
        assert!(matches!(error, Error::AllHeldOut { pairs: 36 }));
        for bad in [config(0, 1, PairFilter::all()), config(8, 0, PairFilter::all())] {
            assert!(matches!(Shapes::new(&bad).unwrap_err(), Error::InvalidConfig { .. }));
        }
    }
}
