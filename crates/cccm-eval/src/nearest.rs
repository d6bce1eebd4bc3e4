//! Nearest training images: whether a generator copies.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use candle_core::Tensor;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::groups::rows_by_group;
use crate::rows::{Rows, squared_distance};
use crate::{Error, Estimate, Proportion, Result};

/// Percentile of the distances of held-out real images to their nearest training image. A real image so close
/// to a training image is rare, so a generated image that is closer counts as a copy.
pub const COPY_PERCENTILE: f64 = 1.0;

/// The training image closest to another image.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Nearest {
    /// Its row among the training images.
    pub index: usize,
    /// Root mean square of the differences of all values; of images in -1 to 1 it is at most 2.
    pub distance: f64,
}

/// How many generated images copy training images.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Copies {
    /// Share of generated images that lie closer to a training image than the threshold. Fresh real images
    /// score 0.01; a generator that scores far more has memorised training images.
    pub copies: Proportion,
    /// The distance below which a generated image counts as a copy: the [`COPY_PERCENTILE`] of the distances of held-out
    /// images to their own nearest training images.
    pub threshold: f64,
}

/// Images, and the group of each.
#[derive(Clone, Copy, Debug)]
pub struct Grouped<'a> {
    /// `(n, …)`, float; whatever follows the first axis is one image.
    pub images: &'a Tensor,
    /// The group of each image, such as its pair of labels.
    pub groups: &'a [usize],
}

/// For each image of `queries` the nearest of `training` in the same group, by the Euclidean distance of their values;
/// none where the group has no training image. The first of equally near ones.
///
/// # Errors
/// [`Error::Shape`] when images differ in size; [`Error::Groups`], [`Error::NonFinite`].
///
/// ```
/// use candle_core::{Device, Tensor};
/// use cccm_eval::{Grouped, Nearest, nearest_images};
///
/// let training = Tensor::new(&[[0f32, 0.0], [3.0, 0.0], [1.0, 1.0]], &Device::Cpu)?;
/// let queries = Tensor::new(&[[1f32, 1.0], [0.0, 0.0]], &Device::Cpu)?;
/// let training = Grouped { images: &training, groups: &[0, 0, 1] };
/// let nearest = nearest_images(Grouped { images: &queries, groups: &[0, 2] }, training)?;
/// assert_eq!(nearest, [Some(Nearest { index: 0, distance: 1.0 }), None]);
/// # Ok::<(), cccm_eval::Error>(())
/// ```
pub fn nearest_images(queries: Grouped<'_>, training: Grouped<'_>) -> Result<Vec<Option<Nearest>>> {
    let index = Index::new(training)?;
    index.nearest("images", queries)
}

/// The mean distance of images to what [`nearest_images`] found for them, its error that of a mean of independent values;
/// images without a nearest one do not count. None where fewer than two have one.
///
/// ```
/// use cccm_eval::{Nearest, mean_distance};
///
/// let at = |distance| Some(Nearest { index: 0, distance });
/// let mean = mean_distance(&[at(0.25), None, at(0.75)]).ok_or("too few")?;
/// assert_eq!((mean.value, mean.standard_error), (0.5, 0.25));
/// # Ok::<(), &str>(())
/// ```
pub fn mean_distance(nearest: &[Option<Nearest>]) -> Option<Estimate> {
    Estimate::of_mean(&nearest.iter().flatten().map(|nearest| nearest.distance).collect::<Vec<_>>())
}

impl Copies {
    /// Whether generated images copy training images: the share that is closer to its nearest training image
    /// than nearly all held-out images are to theirs. Held-out images are real, of the same groups, and were
    /// not trained on. Both arguments are what [`nearest_images`] found; images without a nearest one do not
    /// count. None if no image of one side has one.
    pub fn count(generated: &[Option<Nearest>], held_out: &[Option<Nearest>]) -> Option<Self> {
        let distances = |nearest: &[Option<Nearest>]| -> Vec<f64> {
            nearest.iter().flatten().map(|nearest| nearest.distance).collect()
        };
        let (generated, held_out) = (distances(generated), distances(held_out));
        if generated.is_empty() || held_out.is_empty() {
            return None;
        }
        let threshold = percentile(held_out, COPY_PERCENTILE);
        let closer = generated.iter().filter(|distance| **distance < threshold).count();
        Some(Self { copies: Proportion::new(closer as u64, generated.len() as u64), threshold })
    }
}

/// Training images by group.
struct Index {
    rows: Rows,
    by_group: BTreeMap<usize, Vec<usize>>,
}

impl Index {
    fn new(training: Grouped<'_>) -> Result<Self> {
        let rows = Rows::new("training images", training.images)?;
        let by_group = rows_by_group(&rows, training.groups)?;
        Ok(Self { rows, by_group })
    }

    fn nearest(&self, what: &'static str, queries: Grouped<'_>) -> Result<Vec<Option<Nearest>>> {
        let rows = Rows::new(what, queries.images)?.with_dim_of(&self.rows)?;
        if queries.groups.len() != rows.len() {
            return Err(Error::Groups { what, got: queries.groups.len(), want: rows.len() });
        }
        let nearest = |(row, group): (usize, &usize)| {
            let candidates = self.by_group.get(group)?.iter();
            let distances =
                candidates.map(|&index| (squared_distance(rows.row(row), self.rows.row(index)), index));
            let (square, index) = distances.min_by(|(a, _), (b, _)| a.total_cmp(b))?;
            Some(Nearest { index, distance: (square / rows.dim() as f64).sqrt() })
        };
        Ok(queries.groups.par_iter().enumerate().map(nearest).collect())
    }
}

/// Percentile of at least one value, with the linear interpolation of `numpy.percentile`.
fn percentile(mut values: Vec<f64>, percent: f64) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    let place = percent / 100.0 * (values.len() - 1) as f64;
    let below = place as usize;
    match below.cmp(&(values.len() - 1)) {
        Ordering::Less => values[below] + (place - below as f64) * (values[below + 1] - values[below]),
        Ordering::Equal | Ordering::Greater => values[values.len() - 1],
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;
    use cccm_sched::Streams;

    use super::*;

    fn images(purpose: &str, n: u64) -> Tensor {
        Streams::new(5).draws(0, 0..n).normal(purpose, &[3, 2, 2]).unwrap()
    }

    fn grouped<'a>(images: &'a Tensor, groups: &'a [usize]) -> Grouped<'a> {
        Grouped { images, groups }
    }

    #[test]
    fn percentiles_are_numpys() {
        // numpy.percentile([1, 2, 4, 8], [0, 1, 50, 100])
        let values = || vec![8.0, 1.0, 4.0, 2.0];
        let got = [0.0, 1.0, 50.0, 100.0].map(|percent| percentile(values(), percent));
        assert_eq!(got, [1.0, 1.03, 3.0, 8.0]);
        assert_eq!(percentile(vec![3.0], 1.0), 3.0);
    }

    #[test]
    fn copies_are_counted_and_found() {
        let (training, held_out, fresh) =
            (images("training", 300), images("held out", 300), images("new", 90));
        let groups: Vec<usize> = (0..300).map(|i| i % 3).collect();
        let copied = (training.narrow(0, 30, 10).unwrap() + 0.01).unwrap();
        let generated = Tensor::cat(&[&fresh, &copied], 0).unwrap();
        let mut generated_groups: Vec<usize> = groups[..90].to_vec();
        generated_groups.extend_from_slice(&groups[30..40]);
        let training = grouped(&training, &groups);
        let nearest = nearest_images(grouped(&generated, &generated_groups), training).unwrap();
        for (i, nearest) in nearest[90..].iter().enumerate() {
            let nearest = nearest.unwrap();
            assert!(nearest.index == 30 + i && (nearest.distance - 0.01).abs() < 1e-5, "{nearest:?}");
        }
        let real = nearest_images(grouped(&held_out, &groups), training).unwrap();
        let found = Copies::count(&nearest, &real).unwrap();
        assert!(found.copies.of == 100 && (10..15).contains(&found.copies.hits), "{found:?}");
        assert!(found.threshold > 0.1);
        assert_eq!(Copies::count(&[None], &real), None);
        assert_eq!(Copies::count(&nearest, &[]), None);
    }

    #[test]
    fn the_error_of_a_mean_distance_is_that_of_a_mean() {
        let at = |distance| Some(Nearest { index: 0, distance });
        // numpy: x.mean(), x.std(ddof=1) / sqrt(3)
        let mean = mean_distance(&[at(1.0), at(2.0), None, at(4.0)]).unwrap();
        assert!((mean.value - 7.0 / 3.0).abs() < 1e-12);
        assert!((mean.standard_error - 0.881_917_103_688_197).abs() < 1e-12);
        assert_eq!(mean_distance(&[at(1.0), None]), None);
    }

    #[test]
    fn only_the_own_group_counts() {
        let training = images("training", 4);
        let nearest =
            nearest_images(grouped(&training, &[0, 1, 0, 5]), grouped(&training, &[1, 0, 0, 2])).unwrap();
        assert_ne!(nearest[0].unwrap().index, 0);
        assert_eq!(nearest[1].unwrap().index, 0);
        assert_eq!(nearest[2], Some(Nearest { index: 2, distance: 0.0 }));
        assert_eq!(nearest[3], None);
    }

    #[test]
    fn bad_arguments_are_named() {
        let (training, few) = (images("training", 4), images("few", 2));
        let good = grouped(&training, &[0; 4]);
        let groups = nearest_images(grouped(&few, &[0; 3]), good);
        assert!(matches!(groups, Err(Error::Groups { what: "images", got: 3, want: 2 })));
        let small = Tensor::zeros((2, 5), candle_core::DType::F32, &Device::Cpu).unwrap();
        assert!(matches!(nearest_images(grouped(&small, &[0; 2]), good), Err(Error::Shape { .. })));
    }
}
