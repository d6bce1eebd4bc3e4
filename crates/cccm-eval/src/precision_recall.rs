//! Precision and recall by nearest neighbours.

use candle_core::Tensor;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::rows::{Rows, squared_distance};
use crate::{Error, Result};

/// The usual number of neighbours that the balls of [`precision_recall`] reach to (Kynkäänniemi et al. 2019,
/// section 2.1).
pub const DEFAULT_NEIGHBOURS: usize = 3;

/// How much of what is generated looks real, and how much of what is real is generated.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct PrecisionRecall {
    /// Share of generated rows within the real manifold, in 0 to 1.
    pub precision: f64,
    /// Share of real rows within the generated manifold, in 0 to 1.
    pub recall: f64,
}

/// Improved precision and recall (Kynkäänniemi et al. 2019, eq. 1 and 2): a set's manifold is the union of the balls
/// around its rows that reach to the `neighbours`-th nearest other row.
/// - `generated`, `real`: `(n, d)`, float, each of more than `neighbours` rows; recall grows with the generated rows,
///   precision with the real ones, so that only scores of equally many compare
/// - `neighbours`: at least 1; [`DEFAULT_NEIGHBOURS`] as published
///
/// # Errors
/// [`Error::InvalidConfig`] for no neighbours; [`Error::Shape`], [`Error::TooFewRows`], [`Error::NonFinite`].
///
/// ```
/// use candle_core::{Device, Tensor};
/// use cccm_eval::precision_recall;
///
/// let real = Tensor::new(&[[0f32], [1.0], [10.0], [11.0]], &Device::Cpu)?; // balls of radius 1
/// let generated = Tensor::new(&[[0.5f32], [0.6], [0.7], [5.0]], &Device::Cpu)?; // the last of radius 4.3
/// let scores = precision_recall(&generated, &real, 1)?;
/// assert_eq!((scores.precision, scores.recall), (0.75, 0.25));
/// # Ok::<(), cccm_eval::Error>(())
/// ```
pub fn precision_recall(generated: &Tensor, real: &Tensor, neighbours: usize) -> Result<PrecisionRecall> {
    if neighbours == 0 {
        return Err(Error::invalid("neighbours", neighbours, "at least 1"));
    }
    let real = Rows::new("real features", real)?.at_least(neighbours + 1)?;
    let generated =
        Rows::new("generated features", generated)?.at_least(neighbours + 1)?.with_dim_of(&real)?;
    Ok(PrecisionRecall {
        precision: share_within(&generated, &real, &squared_radii(&real, neighbours)),
        recall: share_within(&real, &generated, &squared_radii(&generated, neighbours)),
    })
}

/// Squared distance of each row to its `neighbours`-th nearest other row.
fn squared_radii(rows: &Rows, neighbours: usize) -> Vec<f64> {
    let radius = |index: usize| {
        let others = (0..rows.len()).filter(|other| *other != index);
        let mut distances: Vec<f64> =
            others.map(|other| squared_distance(rows.row(index), rows.row(other))).collect();
        *distances.select_nth_unstable_by(neighbours - 1, f64::total_cmp).1
    };
    (0..rows.len()).into_par_iter().map(radius).collect()
}

/// Share of `rows` that lie in a ball around one of `centres`.
fn share_within(rows: &Rows, centres: &Rows, squared_radii: &[f64]) -> f64 {
    let within = |index: &usize| {
        let mut balls = centres.iter().zip(squared_radii);
        balls.any(|(centre, radius)| squared_distance(rows.row(*index), centre) <= *radius)
    };
    (0..rows.len()).into_par_iter().filter(within).count() as f64 / rows.len() as f64
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device};
    use cccm_sched::Streams;

    use super::*;

    fn normal(purpose: &str, n: u64) -> Tensor {
        Streams::new(5).draws(0, 0..n).normal(purpose, &[4]).unwrap()
    }

    #[test]
    fn a_set_lies_within_itself() {
        let real = normal("real", 100);
        assert_eq!(
            precision_recall(&real, &real, 3).unwrap(),
            PrecisionRecall { precision: 1.0, recall: 1.0 }
        );
    }

    #[test]
    fn a_collapse_is_precise_and_recalls_nothing() {
        let real = normal("real", 100);
        let collapsed = real.narrow(0, 0, 1).unwrap().repeat((50, 1)).unwrap();
        let scores = precision_recall(&collapsed, &real, 3).unwrap();
        assert_eq!(scores, PrecisionRecall { precision: 1.0, recall: 0.01 });
        let far = (normal("generated", 100) + 1e3).unwrap();
        let scores = precision_recall(&far, &real, 3).unwrap();
        assert_eq!(scores, PrecisionRecall { precision: 0.0, recall: 0.0 });
    }

    #[test]
    fn bad_arguments_are_named() {
        let (three, four) = (normal("generated", 3), normal("real", 4));
        assert!(matches!(precision_recall(&four, &four, 0), Err(Error::InvalidConfig { .. })));
        let few = precision_recall(&three, &four, 3);
        assert!(matches!(few, Err(Error::TooFewRows { what: "generated features", got: 3, want: 4 })));
        let wide = Tensor::zeros((4, 5), DType::F32, &Device::Cpu).unwrap();
        assert!(matches!(precision_recall(&wide, &four, 3), Err(Error::Shape { .. })));
    }
}
