//! One picture, halved again and again.

use candle_core::Tensor;

use crate::rows::Rows;
use crate::{Error, Result};

/// The binomial filter of five taps (Burt and Adelson 1983, with `a = 3/8`).
const BINOMIAL: [f32; 5] = [1.0 / 16.0, 4.0 / 16.0, 6.0 / 16.0, 4.0 / 16.0, 1.0 / 16.0];
/// Pixels that the filter reaches beyond its middle.
const REACH: usize = BINOMIAL.len() / 2;
/// A side is halved while it is longer than this.
const LAST_PX: usize = 16;
/// Sides that the filter can be mirrored at.
pub(crate) const MIN_PX: usize = REACH + 1;

/// Channels, height and width.
pub(crate) type Size = (usize, usize, usize);

/// A picture: values plane by plane, rows from top to bottom.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Picture {
    pub(crate) size: Size,
    pub(crate) values: Vec<f32>,
}

/// Pictures `(n, channels, height, width)` as rows, and the size of each; sides of at least `min_px`.
pub(crate) fn rows_of_pictures(what: &'static str, pictures: &Tensor, min_px: usize) -> Result<(Rows, Size)> {
    match *pictures.dims() {
        [_, channels, h, w] if h.min(w) >= min_px => Ok((Rows::new(what, pictures)?, (channels, h, w))),
        _ => {
            let want = format!("(n, channels, height, width) with sides of at least {min_px} pixels");
            Err(Error::Shape { what, got: pictures.dims().to_vec(), want })
        }
    }
}

/// Heights and widths of a pyramid's levels, finest first: each half the one before, rounded up, down to 16 pixels.
pub(crate) fn level_sizes(size: Size) -> Vec<Size> {
    let mut sizes = vec![size];
    let (channels, mut h, mut w) = size;
    while h.min(w) > LAST_PX {
        (h, w) = (h.div_ceil(2), w.div_ceil(2));
        sizes.push((channels, h, w));
    }
    sizes
}

impl Picture {
    /// Smoothed by the binomial filter, mirrored at the edges without repeating them, and every second pixel of every second
    /// row taken: half the size, rounded up. Sides of at least [`MIN_PX`].
    pub(crate) fn halved(&self) -> Self {
        let (channels, h, w) = self.size;
        let (half_h, half_w) = (h.div_ceil(2), w.div_ceil(2));
        let mut values = Vec::with_capacity(channels * half_h * half_w);
        let mut smooth = vec![0f32; w];
        for plane in self.values.chunks_exact(h * w) {
            for row in (0..h).step_by(2) {
                smooth.fill(0.0);
                for (tap, weight) in BINOMIAL.iter().enumerate() {
                    let source = &plane[mirrored(row + tap, h) * w..][..w];
                    smooth.iter_mut().zip(source).for_each(|(sum, value)| *sum += weight * value);
                }
                let value = |column: usize| {
                    let taps = BINOMIAL.iter().enumerate();
                    taps.map(|(tap, weight)| weight * smooth[mirrored(column + tap, w)]).sum::<f32>()
                };
                values.extend((0..w).step_by(2).map(value));
            }
        }
        Self { size: (channels, half_h, half_w), values }
    }

    /// Levels of the Laplacian pyramid (Burt and Adelson 1983), finest first: what each halving loses, and
    /// finally the smallest picture itself. To find what is lost, the smaller picture is enlarged by
    /// repeating its pixels.
    pub(crate) fn pyramid(self) -> Vec<Self> {
        let (mut levels, mut picture) = (Vec::new(), self);
        for _ in 1..level_sizes(picture.size).len() {
            let half = picture.halved();
            picture.subtract_doubled(&half);
            levels.push(std::mem::replace(&mut picture, half));
        }
        levels.push(picture);
        levels
    }

    fn subtract_doubled(&mut self, half: &Self) {
        let ((_, h, w), (_, half_h, half_w)) = (self.size, half.size);
        let planes = self.values.chunks_exact_mut(h * w).zip(half.values.chunks_exact(half_h * half_w));
        for (plane, half) in planes {
            for (index, value) in plane.iter_mut().enumerate() {
                *value -= half[index / w / 2 * half_w + index % w / 2];
            }
        }
    }
}

/// Where the filter reads: `place` counts from [`REACH`] pixels before the edge.
fn mirrored(place: usize, side: usize) -> usize {
    if place < REACH {
        REACH - place
    } else if place - REACH < side {
        place - REACH
    } else {
        2 * (side - 1) + REACH - place
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edges_are_mirrored_without_being_repeated() {
        let places: Vec<usize> = (0..9).map(|place| mirrored(place, 5)).collect();
        assert_eq!(places, [2, 1, 0, 1, 2, 3, 4, 3, 2]);
        assert_eq!((0..7).map(|place| mirrored(place, MIN_PX)).collect::<Vec<_>>(), [2, 1, 0, 1, 2, 1, 0]);
    }

    #[test]
    fn levels_add_up_to_the_picture() {
        let size = (2, 37, 20);
        let picture = Picture { size, values: (0..2 * 37 * 20).map(|i| (i * i % 101) as f32).collect() };
        let levels = picture.clone().pyramid();
        assert_eq!(levels.iter().map(|level| level.size).collect::<Vec<_>>(), [size, (2, 19, 10)]);
        assert_eq!(level_sizes((3, 64, 64)), [(3, 64, 64), (3, 32, 32), (3, 16, 16)]);
        let mut again = levels[0].clone();
        let negative = Picture { values: levels[1].values.iter().map(|v| -v).collect(), ..levels[1].clone() };
        again.subtract_doubled(&negative);
        assert!(again.values.iter().zip(&picture.values).all(|(got, want)| (got - want).abs() < 1e-4));
    }

    #[test]
    fn a_flat_picture_stays_flat() {
        let picture = Picture { size: (1, 33, 18), values: vec![0.5; 33 * 18] };
        let half = picture.halved();
        assert_eq!(half, Picture { size: (1, 17, 9), values: vec![0.5; 17 * 9] });
    }
}
