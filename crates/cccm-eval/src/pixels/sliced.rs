//! Sliced Wasserstein distance of small patches, level by level of a Laplacian pyramid.

use candle_core::{Device, Tensor};
use cccm_sched::Streams;
use rand::Rng;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::picture::{Picture, Size, level_sizes, rows_of_pictures};
use crate::groups::{resampled, rows_by_group};
use crate::rows::Rows;
use crate::{Error, Estimate, Result};

/// Side of a patch, in pixels of its level (Karras et al. 2018, section 5).
const PATCH_PX: usize = 7;
/// Distances are given in thousandths (same).
const SCALE: f64 = 1e3;
/// Resamples behind a standard error.
const RESAMPLES: u64 = 100;
/// Largest number of directions that the standard error is computed from. The choice of pictures affects all
/// directions in about the same way.
const ERROR_DIRECTIONS: usize = 16;

/// The bit of a float's sign.
const SIGN: u32 = 1 << 31;

/// How many patches are compared, and from how many sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SlicedWassersteinConfig {
    /// Patches of each level on either side, at least 1. Default 16,384.
    pub patches: usize,
    /// Random directions that patches are projected on, at least 1. Default 256.
    pub directions: usize,
}

impl Default for SlicedWassersteinConfig {
    fn default() -> Self {
        Self { patches: 16_384, directions: 256 }
    }
}

impl SlicedWassersteinConfig {
    fn validate(&self) -> Result<()> {
        for (field, value) in [("patches", self.patches), ("directions", self.directions)] {
            if value == 0 {
                return Err(Error::invalid(field, value, "at least 1"));
            }
        }
        Ok(())
    }
}

/// Real images, for the sliced Wasserstein distance of 7×7 patches, one for each level of the Laplacian pyramid (Karras et al.
/// 2018, section 5): images are halved down to 16 pixels, and each level is what one halving loses.
///
/// The finest level tells of grain and of sharpness, the coarsest of casts, veils and large shapes. The distance is blind to
/// where in a picture a patch lies, and so to how parts are put together.
///
/// Unlike in that paper, patches are not normalised, so that casts and contrast count.
#[derive(Clone, Debug)]
pub struct SlicedWasserstein {
    cfg: SlicedWassersteinConfig,
    streams: Streams,
    size: Size,
    levels: Vec<Level>,
}

/// One level of the real images.
#[derive(Clone, Debug)]
struct Level {
    /// `(directions, values of a patch)`, each of length 1.
    directions: Tensor,
    /// Direction by direction the projections of all patches, ascending.
    sorted: Vec<f32>,
}

/// Patches of one level.
struct Patches {
    /// `(patches, values of a patch)`.
    values: Tensor,
    /// The picture that each patch is from.
    pictures: Vec<usize>,
}

/// Where a patch lies.
#[derive(Clone, Copy)]
struct Place {
    picture: usize,
    top: usize,
    left: usize,
}

impl SlicedWasserstein {
    /// Draws patches of real images.
    /// - `real`: `(m, channels, h, w)`, in `[-1, 1]`, with sides of at least 7 pixels; of up to 16 there is one level, the image
    /// - `streams`: decide patches, directions and resamples
    ///
    /// # Errors
    /// [`Error::InvalidConfig`], [`Error::Shape`], [`Error::TooFewRows`] for no image, [`Error::NonFinite`].
    pub fn new(real: &Tensor, cfg: SlicedWassersteinConfig, streams: &Streams) -> Result<Self> {
        cfg.validate()?;
        let (rows, size) = rows_of_pictures("real images", real, PATCH_PX)?;
        let rows = rows.at_least(1)?;
        let level = |(level, patches): (usize, Patches)| -> Result<Level> {
            let directions = directions(streams, level, cfg.directions, patches.values.dim(1)?)?;
            let mut sorted = projected(&directions, &patches.values)?;
            sorted.par_chunks_exact_mut(cfg.patches).for_each(sort);
            Ok(Level { directions, sorted })
        };
        let patches = patches(&rows, size, "swd_real_patch", cfg.patches, streams)?;
        let levels = patches.into_iter().enumerate().map(level).collect::<Result<_>>()?;
        Ok(Self { cfg, streams: *streams, size, levels })
    }

    /// The distance of pictures on each level, finest first, in thousandths of pixels' unit, and its standard error, which tells
    /// of which pictures happened to be drawn.
    /// - `pictures`: `(n, channels, h, w)`, in `[-1, 1]`, of the real images' size
    /// - `groups`: the group of each picture, such as its pair of labels
    ///
    /// The error is the standard deviation over 100 bootstrap resamples of the pictures within each group, a picture's patches
    /// staying together, along the first 16 directions; the real patches stay as they are.
    ///
    /// # Errors
    /// [`Error::Shape`], [`Error::TooFewRows`] for no picture, [`Error::NonFinite`], [`Error::Groups`].
    pub fn distances(&self, pictures: &Tensor, groups: &[usize]) -> Result<Vec<Estimate>> {
        let (rows, size) = rows_of_pictures("pictures", pictures, PATCH_PX)?;
        if size != self.size {
            let want = format!("(n, {:?}), as the real images", self.size);
            return Err(Error::Shape { what: "pictures", got: pictures.dims().to_vec(), want });
        }
        let rows = rows.at_least(1)?;
        let by_group = rows_by_group(&rows, groups)?;
        let counts: Vec<Vec<u32>> = (0..RESAMPLES)
            .map(|resample| {
                let rng = |group: usize| self.streams.stream("swd_resample", resample, group as u64);
                resampled(&by_group, rows.len(), rng)
            })
            .collect();
        let patches = patches(&rows, size, "swd_patch", self.cfg.patches, &self.streams)?;
        self.levels.iter().zip(patches).map(|(level, patches)| level.distance(&patches, &counts)).collect()
    }
}

impl Level {
    /// - `counts`: of each resample, how often it has each picture
    fn distance(&self, patches: &Patches, counts: &[Vec<u32>]) -> Result<Estimate> {
        let mut ours = projected(&self.directions, &patches.values)?;
        let count = patches.pictures.len();
        let both = |index: usize| &self.sorted[index * count..][..count];
        let error = self.standard_error(&ours, patches, counts);
        ours.par_chunks_exact_mut(count).for_each(sort);
        // Collected before they are summed: a parallel sum would add in a random order and so have random
        // last bits.
        let along = |(index, ours): (usize, &[f32])| {
            let off = ours.iter().zip(both(index)).map(|(ours, real)| f64::from((ours - real).abs()));
            off.sum::<f64>() / count as f64
        };
        let distances: Vec<f64> = ours.par_chunks_exact(count).enumerate().map(along).collect();
        let mean = distances.iter().sum::<f64>() / distances.len() as f64;
        Ok(Estimate::normal(SCALE * mean, SCALE * error))
    }

    /// Standard deviation over resamples of the distance along some directions.
    /// - `ours`: direction by direction the projections of all patches
    fn standard_error(&self, ours: &[f32], patches: &Patches, counts: &[Vec<u32>]) -> f64 {
        let count = patches.pictures.len();
        let directions = (ours.len() / count).min(ERROR_DIRECTIONS);
        let of_direction = |index: usize| -> Vec<f64> {
            let ours = &ours[index * count..][..count];
            let key =
                |(value, picture): (&f32, &usize)| (u64::from(ascending(*value)) << 32) | *picture as u64;
            let mut keys: Vec<u64> = ours.iter().zip(&patches.pictures).map(key).collect();
            keys.sort_unstable();
            let values: Vec<(f32, u32)> =
                keys.into_iter().map(|key| (of_ascending((key >> 32) as u32), key as u32)).collect();
            let real = &self.sorted[index * count..][..count];
            counts.iter().map(|counts| weighted_distance(&values, counts, real)).collect()
        };
        let along: Vec<Vec<f64>> = (0..directions).into_par_iter().map(of_direction).collect();
        let over_resamples = (0..counts.len()).map(|resample| {
            along.iter().map(|distances| distances[resample]).sum::<f64>() / directions as f64
        });
        let distances: Vec<f64> = over_resamples.collect();
        let mean = distances.iter().sum::<f64>() / distances.len() as f64;
        let squares = distances.iter().map(|distance| (distance - mean).powi(2)).sum::<f64>();
        (squares / (distances.len() - 1) as f64).sqrt()
    }
}

/// Sorts finite numbers, in half the time that comparisons of floats take.
fn sort(values: &mut [f32]) {
    let mut keys: Vec<u32> = values.iter().map(|value| ascending(*value)).collect();
    keys.sort_unstable();
    values.iter_mut().zip(keys).for_each(|(value, key)| *value = of_ascending(key));
}

/// An integer with the same order as the number. The bits of a negative number are inverted, as they fall
/// when it rises.
fn ascending(value: f32) -> u32 {
    let bits = value.to_bits();
    if value.is_sign_negative() { !bits } else { bits | SIGN }
}

/// The number behind the integer.
fn of_ascending(key: u32) -> f32 {
    f32::from_bits(if key & SIGN == 0 { !key } else { key & !SIGN })
}

/// Mean distance between equal quantiles of values and of `real`, both ascending.
/// - `values`: each with its picture
/// - `counts`: how often each picture counts
fn weighted_distance(values: &[(f32, u32)], counts: &[u32], real: &[f32]) -> f64 {
    let weight = |place: usize| u64::from(counts[values[place].1 as usize]);
    let total: u64 = (0..values.len()).map(weight).sum();
    // With few pictures, a resample may leave out every picture that has patches: then all patches count
    // once.
    let weight = |place: usize| if total == 0 { 1 } else { weight(place) };
    let total = if total == 0 { values.len() as u64 } else { total };
    // Quantile `(2 k + 1) / 2 m` is that of the first value up to which the weights add up to more.
    let (mut place, mut below, m) = (0, weight(0), real.len() as u64);
    let mut sum = 0.0;
    for (k, real) in real.iter().enumerate() {
        while 2 * m * below <= (2 * k as u64 + 1) * total {
            place += 1;
            below += weight(place);
        }
        sum += f64::from((values[place].0 - real).abs());
    }
    sum / real.len() as f64
}

/// Random directions, `(count, dim)`.
fn directions(streams: &Streams, level: usize, count: usize, dim: usize) -> Result<Tensor> {
    let drawn = streams.draws(level as u64, 0..count as u64).normal("swd_direction", &[dim])?;
    Ok(drawn.broadcast_div(&drawn.sqr()?.sum_keepdim(1)?.sqrt()?)?)
}

/// Direction by direction the projections of all patches.
fn projected(directions: &Tensor, patches: &Tensor) -> Result<Vec<f32>> {
    Ok(directions.matmul(&patches.t()?)?.flatten_all()?.to_vec1()?)
}

/// Patches of every level, drawn uniformly over pictures and places.
fn patches(rows: &Rows, size: Size, purpose: &str, count: usize, streams: &Streams) -> Result<Vec<Patches>> {
    let place = |level: usize, (_, h, w): Size| {
        let mut rng = streams.stream(purpose, level as u64, 0);
        let mut places: Vec<Place> = (0..count)
            .map(|_| Place {
                picture: rng.random_range(0..rows.len()),
                top: rng.random_range(0..=h - PATCH_PX),
                left: rng.random_range(0..=w - PATCH_PX),
            })
            .collect();
        // Distances are of sets, so that their order is free; picture by picture, each is halved but once.
        places.sort_by_key(|place| place.picture);
        places
    };
    let sizes = level_sizes(size);
    let places: Vec<Vec<Place>> = sizes.iter().enumerate().map(|(level, size)| place(level, *size)).collect();
    cut(rows, size, &places)
}

/// Patches of every level.
/// - `places`: of each level, picture by picture
fn cut(rows: &Rows, size: Size, places: &[Vec<Place>]) -> Result<Vec<Patches>> {
    let of_picture = |(picture, row): (usize, &[f32])| -> Vec<Vec<f32>> {
        let levels = Picture { size, values: row.to_vec() }.pyramid();
        let of_level = |(level, places): (&Picture, &Vec<Place>)| {
            let first = places.partition_point(|place| place.picture < picture);
            let own = places[first..].iter().take_while(|place| place.picture == picture);
            own.flat_map(|place| level.patch(*place)).collect()
        };
        levels.iter().zip(places).map(of_level).collect()
    };
    let cut: Vec<Vec<Vec<f32>>> = rows.par_iter().enumerate().map(of_picture).collect();
    let gather = |(level, places): (usize, &Vec<Place>)| -> Result<Patches> {
        let values: Vec<f32> = cut.iter().flat_map(|levels| &levels[level]).copied().collect();
        let shape = (places.len(), size.0 * PATCH_PX * PATCH_PX);
        let pictures = places.iter().map(|place| place.picture).collect();
        Ok(Patches { values: Tensor::from_vec(values, shape, &Device::Cpu)?, pictures })
    };
    places.iter().enumerate().map(gather).collect()
}

impl Picture {
    /// The values of a patch, plane by plane.
    // Differs: Karras et al. bring each channel of all patches to mean 0 and variance 1.
    fn patch(&self, Place { top, left, .. }: Place) -> impl Iterator<Item = f32> {
        let (channels, h, w) = self.size;
        let lines =
            (0..channels).flat_map(move |plane| (top..top + PATCH_PX).map(move |row| plane * h + row));
        lines.flat_map(move |line| self.values[line * w + left..][..PATCH_PX].iter().copied())
    }
}

#[cfg(test)]
mod tests {
    use cccm_tests::{Fixture, Tolerance, assert_close_scalar, hashed, hashed_ints};

    use super::*;

    fn pictures(purpose: &str, n: u64, scale: f64) -> Tensor {
        let draws = Streams::new(3).draws(0, 0..n);
        let apart = draws.normal(purpose, &[3, 20, 20]).unwrap();
        let together = draws.normal(&format!("{purpose} together"), &[3, 1, 1]).unwrap();
        (apart * (0.2 * scale)).unwrap().broadcast_add(&(together * 0.4).unwrap()).unwrap()
    }

    fn small(patches: usize, directions: usize) -> SlicedWassersteinConfig {
        SlicedWassersteinConfig { patches, directions }
    }

    /// With the same patches and directions numpy finds the same distance (`tests/fixtures/pixels.py`).
    #[test]
    fn the_distance_agrees_for_fixed_draws() -> anyhow::Result<()> {
        let fx = Fixture::load_from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures"), "pixels")?;
        let cut_fixed = |name: &str, n: usize, scale: f64, offset: f64| -> anyhow::Result<Vec<Patches>> {
            let grain = hashed(&format!("{name}.grain"), (n, 3, 24, 24), scale, offset)?;
            let pictures = grain.broadcast_add(&hashed(&format!("{name}.level"), (n, 3, 1, 1), 0.3, 0.0)?)?;
            let (rows, size) = rows_of_pictures("pictures", &pictures, PATCH_PX)?;
            let places =
                |(level, (_, h, w)): (usize, Size)| {
                    let ints = |what: &str, below: usize| {
                        hashed_ints(&format!("{name}.{level}.{what}"), 500, 0, below as u32)
                    };
                    let places = ints("picture", n).into_iter().zip(ints("top", h - PATCH_PX + 1));
                    let places = places.zip(ints("left", w - PATCH_PX + 1)).map(|((picture, top), left)| {
                        Place { picture: picture as usize, top: top as usize, left: left as usize }
                    });
                    let mut places: Vec<Place> = places.collect();
                    places.sort_by_key(|place| place.picture);
                    places
                };
            let places: Vec<Vec<Place>> = level_sizes(size).into_iter().enumerate().map(places).collect();
            Ok(cut(&rows, size, &places)?)
        };
        let (ours, real) = (cut_fixed("ours", 60, 0.4, 0.1)?, cut_fixed("real", 80, 0.3, 0.0)?);
        assert_eq!(ours.len(), 2);
        for (level, (ours, real)) in ours.iter().zip(&real).enumerate() {
            let directions = hashed(&format!("direction.{level}"), (16, 147), 1.0, 0.0)?;
            let directions = directions.broadcast_div(&directions.sqr()?.sum_keepdim(1)?.sqrt()?)?;
            let mut sorted = projected(&directions, &real.values)?;
            sorted.chunks_exact_mut(500).for_each(|of_one| of_one.sort_by(f32::total_cmp));
            let got = Level { directions, sorted }.distance(ours, &[vec![1; 60], vec![1; 60]])?;
            let want = fx.json()["swd_fixed"][level].as_f64().unwrap_or(f64::NAN);
            assert_close_scalar(got.value, want, Tolerance { abs: 0.0, rel: 1e-5 })?;
            // Of two equal resamples.
            assert_eq!(got.standard_error, 0.0);
        }
        Ok(())
    }

    #[test]
    fn a_shift_is_its_mean_length_along_a_direction() {
        let real = pictures("real", 40, 1.0);
        let reference = SlicedWasserstein::new(&real, small(4000, 64), &Streams::new(1)).unwrap();
        let shifted = reference.distances(&(&real + 0.5).unwrap(), &[0; 40]).unwrap();
        // Grain is what the finest level holds, and a shift is not in it.
        let chance = reference.distances(&real, &[0; 40]).unwrap();
        assert!((shifted[0].value - chance[0].value).abs() < 1e-3, "{shifted:?} {chance:?}");
        // 0.5 in each of 147 values, along a direction of length 1: 0.5 sqrt(147) times the mean |cos|, sqrt(2 / 147 pi).
        let want = 1e3 * 0.5 * (2.0 / std::f64::consts::PI).sqrt();
        assert!((shifted[1].value / want - 1.0).abs() < 0.25, "{shifted:?}, but {want}");
    }

    #[test]
    fn integers_are_ordered_as_numbers_are() {
        let numbers = [-3.5f32, -1.0, -f32::MIN_POSITIVE, -0.0, 0.0, 1e-30, 1.0, 7.25];
        assert_eq!(
            numbers.map(|number| of_ascending(ascending(number)).to_bits()),
            numbers.map(f32::to_bits)
        );
        let mut mixed = [3, 0, 7, 5, 1, 6, 2, 4].map(|place: usize| numbers[place]);
        sort(&mut mixed);
        assert_eq!(mixed, numbers);
    }

    #[test]
    fn weights_stand_for_repeated_values() {
        let values: Vec<(f32, u32)> = [0.0, 1.0, 2.0, 5.0].into_iter().zip([0, 1, 0, 2]).collect();
        let real = [0.5, 1.0, 3.0, 3.5];
        assert_eq!(weighted_distance(&values, &[1, 1, 1], &real), (0.5 + 0.0 + 1.0 + 1.5) / 4.0);
        // 0 0 2 2: picture 0 alone.
        assert_eq!(weighted_distance(&values, &[2, 0, 0], &real), (0.5 + 1.0 + 1.0 + 1.5) / 4.0);
        // 0 0 2 2 5 5, of which the quantiles at 1/8, 3/8, 5/8, 7/8 are 0 2 2 5.
        assert_eq!(weighted_distance(&values, &[2, 0, 2], &real), (0.5 + 1.0 + 1.0 + 1.5) / 4.0);
        assert_eq!(
            weighted_distance(&values, &[0, 0, 0], &real),
            weighted_distance(&values, &[1, 1, 1], &real)
        );
    }

    #[test]
    fn the_bootstrap_finds_the_spread_over_pictures() {
        let reference =
            SlicedWasserstein::new(&pictures("real", 400, 1.0), small(4000, 64), &Streams::new(1)).unwrap();
        let of =
            |i: usize| reference.distances(&pictures(&format!("sample {i}"), 60, 1.5), &[0; 60]).unwrap();
        let all: Vec<Vec<Estimate>> = (0..40).map(of).collect();
        for level in 0..2 {
            let values: Vec<f64> = all.iter().map(|levels| levels[level].value).collect();
            let spread = Estimate::of_mean(&values).unwrap().standard_error * 40f64.sqrt();
            let error = all.iter().map(|levels| levels[level].standard_error).sum::<f64>() / 40.0;
            assert!((0.6..1.6).contains(&(error / spread)), "level {level}: {error}, but {spread}");
        }
    }

    #[test]
    fn images_of_a_patch_or_more_are_compared() {
        let sides = |px: usize| {
            let drawn = |purpose| Streams::new(1).draws(0, 0..9).normal(purpose, &[3, px, px]).unwrap();
            let real = SlicedWasserstein::new(&drawn("real"), small(50, 4), &Streams::new(1))?;
            Ok::<_, Error>(real.distances(&drawn("ours"), &[0; 9])?.len())
        };
        for (px, levels) in [(7, 1), (16, 1), (17, 2), (32, 2), (33, 3), (64, 3)] {
            assert_eq!(sides(px).unwrap(), levels, "{px}");
        }
        assert!(matches!(sides(6), Err(Error::Shape { .. })));
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let real = pictures("real", 4, 1.0);
        for (cfg, name) in [(small(0, 1), "patches"), (small(1, 0), "directions")] {
            let got = SlicedWasserstein::new(&real, cfg, &Streams::new(1));
            assert!(matches!(got, Err(Error::InvalidConfig { field, .. }) if field == name));
        }
        let reference = SlicedWasserstein::new(&real, small(10, 2), &Streams::new(1)).unwrap();
        let groups = reference.distances(&real, &[0; 3]);
        assert!(matches!(groups, Err(Error::Groups { got: 3, want: 4, .. })));
        let other = Tensor::zeros((4, 3, 20, 21), candle_core::DType::F32, &Device::Cpu).unwrap();
        assert!(matches!(reference.distances(&other, &[0; 4]), Err(Error::Shape { .. })));
        assert!(matches!(
            SlicedWasserstein::new(&real.narrow(0, 0, 0).unwrap(), small(1, 1), &Streams::new(1)),
            Err(Error::TooFewRows { got: 0, .. })
        ));
    }
}
