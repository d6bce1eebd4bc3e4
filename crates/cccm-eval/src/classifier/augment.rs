//! Small rotations, zooms and shifts, so that a label does not depend on single pixels.

use candle_core::{Device, Tensor};
use cccm_sched::Draws;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// Largest movements of images. Each image is moved at random, uniformly within these bounds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Augmentation {
    /// Degrees of rotation about the middle, either way. Default 10.
    pub rotation_degrees: f64,
    /// Zoom, either way: 0.1 is a factor between 0.9 and 1.1. Below 1; default 0.1.
    pub zoom: f64,
    /// Shift along both axes, either way, as a share of the side. Default 1/16, two pixels of 32.
    pub shift: f64,
}

impl Default for Augmentation {
    fn default() -> Self {
        Self { rotation_degrees: 10.0, zoom: 0.1, shift: 1.0 / 16.0 }
    }
}

impl Augmentation {
    pub(crate) fn validate(&self) -> Result<()> {
        if !(0.0..1.0).contains(&self.zoom) {
            return Err(Error::invalid("zoom", self.zoom, "at least 0 and below 1"));
        }
        for (field, value) in [("rotation_degrees", self.rotation_degrees), ("shift", self.shift)] {
            if !(value >= 0.0 && value.is_finite()) {
                return Err(Error::invalid(field, value, "a finite number of at least 0"));
            }
        }
        Ok(())
    }

    /// Images moved; pixels in between are interpolated, and edges are repeated outwards.
    /// - `images`: `(batch, channels, h, w)`, `f32`, on the CPU
    pub(crate) fn apply(&self, images: &Tensor, draws: &Draws) -> Result<Tensor> {
        let (batch, channels, h, w) = images.dims4()?;
        let drawn = |purpose: &str, bound: f64| -> Result<Vec<f32>> {
            Ok(draws.uniform(purpose, &[], (-bound, bound))?.to_vec1::<f32>()?)
        };
        let angles = drawn("augment.rotation", self.rotation_degrees.to_radians())?;
        let zooms = drawn("augment.zoom", self.zoom)?;
        let rows = drawn("augment.rows", self.shift * h as f64)?;
        let columns = drawn("augment.columns", self.shift * w as f64)?;
        if draws.batch() != batch {
            let want = format!("{} of them", draws.batch());
            return Err(Error::Shape { what: "images", got: images.dims().to_vec(), want });
        }
        let (source, image_len) = (images.flatten_all()?.to_vec1::<f32>()?, channels * h * w);
        let mut moved = vec![0f32; source.len()];
        let pairs =
            moved.par_chunks_mut(image_len.max(1)).zip(source.par_chunks(image_len.max(1))).enumerate();
        pairs.for_each(|(image, (to, from))| {
            let (sin, cos) = angles[image].sin_cos();
            let scale = 1.0 + zooms[image];
            let middle = ((h as f32 - 1.0) / 2.0, (w as f32 - 1.0) / 2.0);
            for row in 0..h {
                for column in 0..w {
                    let (y, x) = ((row as f32 - middle.0) * scale, (column as f32 - middle.1) * scale);
                    let y_from = middle.0 + rows[image] + cos * y - sin * x;
                    let x_from = middle.1 + columns[image] + sin * y + cos * x;
                    for (to, from) in to.chunks_exact_mut(h * w).zip(from.chunks_exact(h * w)) {
                        to[row * w + column] = bilinear(from, (h, w), (y_from, x_from));
                    }
                }
            }
        });
        Ok(Tensor::from_vec(moved, images.shape(), &Device::Cpu)?)
    }
}

/// The value of a plane between its pixels.
fn bilinear(plane: &[f32], (h, w): (usize, usize), (y, x): (f32, f32)) -> f32 {
    let (y, x) = (y.clamp(0.0, h as f32 - 1.0), x.clamp(0.0, w as f32 - 1.0));
    let (top, left) = (y as usize, x as usize);
    let (bottom, right) = ((top + 1).min(h - 1), (left + 1).min(w - 1));
    let (down, across) = (y - top as f32, x - left as f32);
    let line = |row: usize| plane[row * w + left] * (1.0 - across) + plane[row * w + right] * across;
    line(top) * (1.0 - down) + line(bottom) * down
}

#[cfg(test)]
mod tests {
    use super::*;
    use cccm_sched::Streams;

    const NONE: Augmentation = Augmentation { rotation_degrees: 0.0, zoom: 0.0, shift: 0.0 };

    /// 60 times an image of 9×9 whose value is its row plus ten times its column, and the negative of it below.
    fn slopes() -> Tensor {
        let value = |plane: usize, row: usize, column: usize| {
            (row as f32 + 10.0 * column as f32) * if plane == 0 { 1.0 } else { -1.0 }
        };
        let image = (0..2 * 81).map(|i| value(i / 81, i % 81 / 9, i % 9));
        let image = Tensor::from_iter(image, &Device::Cpu).unwrap().reshape((1, 2, 9, 9)).unwrap();
        Tensor::cat(&vec![image; 60], 0).unwrap()
    }

    /// Value and slopes at the middle of every image: what moves about it shows as an affine map.
    fn middles(augmentation: Augmentation) -> Vec<[f32; 3]> {
        let moved = augmentation.apply(&slopes(), &Streams::new(1).draws(0, 0..60)).unwrap();
        let middle = |image: usize| {
            let planes = moved.get(image).unwrap().to_vec3::<f32>().unwrap();
            let plane = &planes[0];
            assert!((planes[1][4][4] + plane[4][4]).abs() < 1e-5);
            [plane[4][4], plane[5][4] - plane[4][4], plane[4][5] - plane[4][4]]
        };
        (0..60).map(middle).collect()
    }

    fn spread(values: impl Iterator<Item = f32>) -> (f32, f32) {
        values.fold((f32::MAX, f32::MIN), |(low, high), value| (low.min(value), high.max(value)))
    }

    #[test]
    fn without_bounds_nothing_moves() {
        let moved = NONE.apply(&slopes(), &Streams::new(1).draws(0, 0..60)).unwrap();
        let difference = (moved - slopes()).unwrap().abs().unwrap().max_all().unwrap();
        assert!(difference.to_scalar::<f32>().unwrap() < 1e-4);
    }

    #[test]
    fn every_movement_stays_within_its_bound_and_uses_it() {
        // Up to one row and one column: 1 and 10 in value, the slopes unchanged.
        let shifted = middles(Augmentation { shift: 1.0 / 9.0, ..NONE });
        let (low, high) = spread(shifted.iter().map(|[value, ..]| value - 44.0));
        assert!((-11.0..-7.0).contains(&low) && (7.0..11.0).contains(&high), "{low} {high}");
        assert!(
            shifted.iter().all(|[_, down, across]| (down - 1.0).abs() < 1e-4 && (across - 10.0).abs() < 1e-4)
        );

        let zoomed = middles(Augmentation { zoom: 0.2, ..NONE });
        let (low, high) = spread(zoomed.iter().map(|[_, down, _]| *down));
        assert!((0.8..0.85).contains(&low) && (1.15..1.2).contains(&high), "{low} {high}");
        assert!(zoomed.iter().all(|[value, down, across]| {
            (value - 44.0).abs() < 1e-4 && (10.0 * down - across).abs() < 1e-3
        }));

        // Turned by `a`, a step down is `cos a` rows and `sin a` columns.
        let turned = middles(Augmentation { rotation_degrees: 5.0, ..NONE });
        let angles: Vec<f32> = turned
            .iter()
            .map(|[_, down, across]| (10.0 * down - across).atan2(down + 10.0 * across))
            .collect();
        let (low, high) = spread(angles.iter().map(|angle| angle.to_degrees()));
        assert!((-5.0..-4.0).contains(&low) && (4.0..5.0).contains(&high), "{low} {high}");
    }
}
