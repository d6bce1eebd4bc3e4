//! Coloured shapes, drawn from a seed: a dataset that needs no files.

use std::f64::consts::TAU;
use std::ops::Range;

use rand::Rng;

use crate::{
    Combination, CombinationFilter, Dataset, Error, Preset, Result, Vocabulary,
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
const RADIUS: Range<f64> = 0.2..0.4;
/// The same where size is a label, in the order of the preset's sizes: apart, so that an eye can tell.
const SIZED_RADIUS: [Range<f64>; 2] = [0.15..0.22, 0.32..0.4];
/// Height of the rectangle and the oval, as a share of their width: far from square and circle.
const FLATNESS: f64 = 0.55;

/// Which shapes are drawn.
#[derive(Clone, Debug)]
pub struct ShapesConfig {
    /// Side of the images, in pixels.
    pub image_px: usize,
    /// How many images each combination gets, at least 1.
    pub images_per_combination: usize,
    /// Everything random follows from it.
    pub seed: u64,
    /// Whether size is a third kind of labels, as in [`Preset::SizedShapes`].
    pub sized: bool,
    /// Which combinations are drawn.
    pub combinations: CombinationFilter,
}

/// One shape per image on white, at a random place, of random size and rotation, antialiased. The
/// attribute is the colour, the object the outline ([`Preset::Shapes`]).
///
/// Images are drawn when they are loaded. An image depends on the seed, its combination and its number
/// within the combination only, so that a filter or a larger count changes no picture.
#[derive(Debug)]
pub struct Shapes {
    vocabulary: Vocabulary,
    image_px: usize,
    images_per_combination: usize,
    seed: u64,
    combinations: Vec<Combination>,
    outlines: [Outline; 6],
}

impl Shapes {
    /// The dataset that `config` describes, combination by combination.
    ///
    /// # Errors
    /// [`Error::AllHeldOut`] when the filter keeps no combination, [`Error::InvalidConfig`] for a bad size or
    /// count.
    pub fn new(config: &ShapesConfig) -> Result<Self> {
        check_image_px(config.image_px)?;
        let images_per_combination = config.images_per_combination;
        // The upper end keeps the number of an image within half of its stream number.
        if !(1..=u32::MAX as usize).contains(&images_per_combination) {
            let got = images_per_combination.to_string();
            return Err(Error::InvalidConfig {
                field: "images_per_combination",
                got,
                want: "between 1 and 2^32 - 1",
            });
        }
        let preset = if config.sized { Preset::SizedShapes } else { Preset::Shapes };
        let vocabulary = preset.vocabulary();
        let combinations = config.combinations.kept(vocabulary.combinations())?;
        Ok(Self {
            vocabulary,
            image_px: config.image_px,
            images_per_combination,
            seed: config.seed,
            combinations,
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
        self.combinations.len() * self.images_per_combination
    }

    fn combination(&self, index: usize) -> Combination {
        self.combinations[index / self.images_per_combination]
    }

    fn load(&self, index: usize, out: &mut [f32]) -> Result<()> {
        check_buffer(self.image_px, out)?;
        let combination = self.combination(index);
        let number = (self.vocabulary.place_of(&combination) as u64) << 32
            | (index % self.images_per_combination) as u64;
        let mut rng = random::stream(self.seed, Purpose::Shape, number);
        let (color, outline) = (COLORS[combination[0] as usize], &self.outlines[combination[1] as usize]);
        let radius = combination.get(2).map_or(RADIUS, |size| SIZED_RADIUS[*size as usize].clone());
        Placement::draw(&mut rng, radius).paint(outline, color, self.image_px, out);
        Ok(())
    }

    fn describe(&self, index: usize) -> String {
        let name = self.vocabulary.folder_name(&self.combination(index));
        format!("{name} number {}", index % self.images_per_combination)
    }

    /// Covers the configuration, from which all pictures follow.
    fn digest(&self) -> Result<String> {
        let mut digest = DatasetDigest::new("shapes 1", &self.vocabulary, self.image_px);
        digest.number(self.seed);
        digest.number(self.images_per_combination as u64);
        for &combination in &self.combinations {
            digest.combination(combination);
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
    fn draw(rng: &mut impl Rng, radius: Range<f64>) -> Self {
        let radius = rng.random_range(radius);
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

    fn shapes(image_px: usize, images_per_combination: usize, seed: u64) -> Shapes {
        Shapes::new(&ShapesConfig {
            image_px,
            images_per_combination,
            seed,
            sized: false,
            combinations: CombinationFilter::all(),
        })
        .unwrap()
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
            let (image, combination) = (load(&shapes, index), shapes.combination(index));
            let ink = COLORS[combination[0] as usize].map(signed);
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

        let combinations = CombinationFilter::Only([few.combination(2 * 9)].into());
        let only = Shapes::new(&ShapesConfig {
            image_px: 16,
            images_per_combination: 2,
            seed: 7,
            sized: false,
            combinations,
        })
        .unwrap();
        assert_eq!(load(&few, 2 * 9 + 1), load(&only, 1));
    }

    #[test]
    fn nothing_to_draw_is_an_error() {
        let config = |image_px, images_per_combination, combinations| ShapesConfig {
            image_px,
            images_per_combination,
            seed: 0,
            sized: false,
            combinations,
        };
        let everything = Preset::Shapes.vocabulary().combinations().collect();
        let error = Shapes::new(&config(8, 1, CombinationFilter::Except(everything))).unwrap_err();
        assert!(matches!(error, Error::AllHeldOut { combinations: 36 }));
        for bad in [config(0, 1, CombinationFilter::all()), config(8, 0, CombinationFilter::all())] {
            assert!(matches!(Shapes::new(&bad).unwrap_err(), Error::InvalidConfig { .. }));
        }
    }

    #[test]
    fn sizes_are_apart() -> Result<()> {
        let config = ShapesConfig {
            image_px: 32,
            images_per_combination: 20,
            seed: 0,
            sized: true,
            combinations: CombinationFilter::all(),
        };
        let shapes = Shapes::new(&config)?;
        assert_eq!(shapes.len(), 72 * 20);
        let ink = |index: usize| {
            let image = load(&shapes, index);
            image
                .chunks_exact(32 * 32)
                .map(|plane| plane.iter().map(|value| 1.0 - value).sum::<f32>())
                .sum::<f32>()
        };
        // Of each colour and outline, the largest small one has less ink than the smallest large one.
        for pair in 0..36 {
            let of = |size: usize| (0..20).map(move |n| (2 * pair + size) * 20 + n);
            assert!(of(0).all(|index| shapes.combination(index)[2] == 0));
            let largest = of(0).map(ink).fold(0.0, f32::max);
            let smallest = of(1).map(ink).fold(f32::MAX, f32::min);
            assert!(largest < 0.8 * smallest, "{largest} {smallest}");
        }
        Ok(())
    }
}
