//! The corners of pictures, where all real ones show the same background.

use candle_core::Tensor;
use serde::{Deserialize, Serialize};

use super::picture::{Size, rows_of_pictures};
use crate::rows::Rows;
use crate::{Error, Estimate, Result};

/// Side of the square in each corner that is looked at, in pixels.
const CORNER_PX: usize = 4;
/// Grey levels of a file, per unit of pixels that span -1 to 1.
const LEVELS: f64 = 127.5;
/// Corners of real images whose values vary by no more than this, in grey levels of 255, show a background that is known.
///
/// Digits on black have 0. Where objects reach into some corners it is tens of levels.
pub const KNOWN_BACKGROUND_STD: f64 = 4.0;

/// The four 4×4 corners of pictures, in grey levels from 0 (black) to 255 (white), and how far they are from a background
/// that all real images share.
///
/// It shows a veil, a colour cast or grain in the background, which a classifier does not see. It says
/// nothing about the rest of a picture.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Background {
    /// Mean level of the pictures' corners, over all channels.
    pub level: Estimate,
    /// Grain: standard deviation of the values in a picture's corners, over all channels; its mean over the pictures.
    pub grain: Estimate,
    /// Distance to the known background: root mean square of the differences between a picture's corners and the mean of the
    /// real ones, channel by channel; its mean over the pictures.
    pub distance: Estimate,
    /// Mean level of the real corners.
    pub real_level: f64,
    /// Grain of the real corners.
    pub real_grain: f64,
}

/// The background that real images share.
#[derive(Clone, Debug)]
pub struct KnownBackground {
    /// Mean level of each channel.
    channels: Vec<f64>,
    grain: f64,
}

/// Of one picture.
struct Corners {
    level: f64,
    grain: f64,
    distance: f64,
}

impl KnownBackground {
    /// What the corners of real images show, `(n, channels, h, w)`, in `[-1, 1]`. None if they do not all
    /// show the same, which is when the standard deviation of all values in all corners from their channel's
    /// mean is above [`KNOWN_BACKGROUND_STD`].
    ///
    /// # Errors
    /// [`Error::Shape`] for images with sides below 4 pixels, [`Error::TooFewRows`] for fewer than two, [`Error::NonFinite`].
    pub fn of(real: &Tensor) -> Result<Option<Self>> {
        let (rows, size) = rows_of_pictures("real images", real, CORNER_PX)?;
        let rows = rows.at_least(2)?;
        let mut channels = vec![0f64; size.0];
        for row in rows.iter() {
            for (mean, values) in channels.iter_mut().zip(corners(row, size)) {
                *mean += values.iter().sum::<f64>() / (values.len() * rows.len()) as f64;
            }
        }
        let all: Vec<Corners> = rows.iter().map(|row| Corners::of(row, size, &channels)).collect();
        let mean = |of: fn(&Corners) -> f64| all.iter().map(of).sum::<f64>() / all.len() as f64;
        let known = mean(|corners| corners.distance.powi(2)).sqrt() <= KNOWN_BACKGROUND_STD;
        Ok(known.then(|| Self { channels, grain: mean(|corners| corners.grain) }))
    }

    /// The corners of pictures beside those of the real images. Errors are those of means over independent pictures.
    /// - `pictures`: `(n, channels, h, w)`, in `[-1, 1]`, at least two
    ///
    /// # Errors
    /// As [`Self::of`]; [`Error::Shape`] also for another number of channels.
    pub fn compare(&self, pictures: &Tensor) -> Result<Background> {
        let (rows, size) = rows_of_pictures("pictures", pictures, CORNER_PX)?;
        if size.0 != self.channels.len() {
            let want = format!("{} channels, as the real images", self.channels.len());
            return Err(Error::Shape { what: "pictures", got: pictures.dims().to_vec(), want });
        }
        self.compare_rows(&rows.at_least(2)?, size)
    }

    pub(super) fn compare_rows(&self, rows: &Rows, size: Size) -> Result<Background> {
        let all: Vec<Corners> = rows.iter().map(|row| Corners::of(row, size, &self.channels)).collect();
        let mean = |of: fn(&Corners) -> f64| Estimate::of_mean(&all.iter().map(of).collect::<Vec<_>>());
        let too_few = || Error::TooFewRows { what: rows.what(), got: rows.len(), want: 2 };
        Ok(Background {
            level: mean(|corners| corners.level).ok_or_else(too_few)?,
            grain: mean(|corners| corners.grain).ok_or_else(too_few)?,
            distance: mean(|corners| corners.distance).ok_or_else(too_few)?,
            real_level: self.channels.iter().sum::<f64>() / self.channels.len() as f64,
            real_grain: self.grain,
        })
    }
}

impl Corners {
    /// - `known`: level of each channel
    fn of(picture: &[f32], size: Size, known: &[f64]) -> Self {
        let corners = corners(picture, size);
        let count = corners.iter().map(Vec::len).sum::<usize>() as f64;
        let level = corners.iter().flatten().sum::<f64>() / count;
        let squares = corners.iter().flatten().map(|value| (value - level).powi(2)).sum::<f64>();
        let off = |(values, known): (&Vec<f64>, &f64)| {
            values.iter().map(|value| (value - known).powi(2)).sum::<f64>()
        };
        let distance = (corners.iter().zip(known).map(off).sum::<f64>() / count).sqrt();
        Self { level, grain: (squares / count).sqrt(), distance }
    }
}

/// Per channel the values in the corners, in grey levels.
fn corners(picture: &[f32], (_, h, w): Size) -> Vec<Vec<f64>> {
    let ends = |side: usize| (0..CORNER_PX).chain(side - CORNER_PX..side);
    let of_plane = |plane: &[f32]| {
        let places = ends(h).flat_map(|row| ends(w).map(move |column| row * w + column));
        places.map(|place| (f64::from(plane[place]) + 1.0) * LEVELS).collect()
    };
    picture.chunks_exact(h * w).map(of_plane).collect()
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device};
    use cccm_sched::Streams;

    use super::*;

    fn flat(n: usize, levels: [f32; 3]) -> Tensor {
        let channel = |level: &f32| Tensor::full(level / 127.5 - 1.0, (n, 1, 9, 9), &Device::Cpu).unwrap();
        Tensor::cat(&levels.iter().map(channel).collect::<Vec<_>>(), 1).unwrap()
    }

    #[test]
    fn a_veil_has_its_level_and_no_grain() {
        let known = KnownBackground::of(&flat(5, [0.0; 3])).unwrap().expect("all corners are black");
        let veil = known.compare(&flat(4, [34.0; 3])).unwrap();
        assert!((veil.level.value - 34.0).abs() < 1e-4 && (veil.distance.value - 34.0).abs() < 1e-4);
        assert!(veil.grain.value < 1e-4 && veil.distance.standard_error < 1e-6);
        assert_eq!((veil.real_level, veil.real_grain), (0.0, 0.0));
    }

    #[test]
    fn a_cast_is_off_where_its_level_is_right() {
        let known = KnownBackground::of(&flat(5, [100.0; 3])).unwrap().expect("all corners are grey");
        let cast = known.compare(&flat(4, [130.0, 100.0, 70.0])).unwrap();
        assert!((cast.level.value - 100.0).abs() < 1e-4);
        assert!((cast.distance.value - 600f64.sqrt()).abs() < 1e-4, "{cast:?}");
    }

    #[test]
    fn coloured_backgrounds_are_known_too_and_varied_ones_are_not() {
        assert!(KnownBackground::of(&flat(5, [200.0, 10.0, 60.0])).unwrap().is_some());
        let varied = Tensor::cat(&[flat(3, [0.0; 3]), flat(3, [40.0; 3])], 0).unwrap();
        assert!(KnownBackground::of(&varied).unwrap().is_none());
        let grain = Streams::new(1).draws(0, 0..50).normal("grain", &[3, 9, 9]).unwrap();
        let grainy = |levels: f64| (flat(50, [100.0; 3]) + (&grain * (levels / LEVELS)).unwrap()).unwrap();
        assert!(KnownBackground::of(&grainy(KNOWN_BACKGROUND_STD + 0.5)).unwrap().is_none());
        assert!(KnownBackground::of(&grainy(KNOWN_BACKGROUND_STD - 0.5)).unwrap().is_some());
    }

    #[test]
    fn only_the_corners_count() {
        let mut values = vec![-1f32; 2 * 3 * 81];
        // The middle row and column are in no corner of 9×9.
        for plane in 0..6 {
            values[plane * 81 + 4 * 9 + 4] = 1.0;
        }
        let centred = Tensor::from_vec(values, (2, 3, 9, 9), &Device::Cpu).unwrap();
        let known = KnownBackground::of(&flat(5, [0.0; 3])).unwrap().expect("all corners are black");
        assert_eq!(known.compare(&centred).unwrap().distance.value, 0.0);
    }

    #[test]
    fn other_shapes_are_refused() {
        let known = KnownBackground::of(&flat(5, [0.0; 3])).unwrap().expect("all corners are black");
        let grey = Tensor::zeros((4, 1, 9, 9), DType::F32, &Device::Cpu).unwrap();
        assert!(matches!(known.compare(&grey), Err(Error::Shape { .. })));
        let small = Tensor::zeros((4, 3, 3, 9), DType::F32, &Device::Cpu).unwrap();
        assert!(matches!(KnownBackground::of(&small), Err(Error::Shape { .. })));
        assert!(matches!(known.compare(&flat(1, [0.0; 3])), Err(Error::TooFewRows { got: 1, .. })));
    }
}
