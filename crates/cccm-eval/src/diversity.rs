//! Diversity within a group, relative to real images.

use std::collections::BTreeMap;

use candle_core::Tensor;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::groups::rows_by_group;
use crate::rows::{Rows, squared_distance};
use crate::{Error, Result};

/// How far apart generated images of one group are, relative to real ones: 1 is as diverse as these, 0 is collapse to a
/// single image.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Diversity {
    /// Mean distance between generated rows of a group, averaged over the groups, divided by the same mean of
    /// real rows.
    pub overall: f64,
    /// The ratio in each group that has one: with two rows or more on either side, and real ones that differ.
    pub groups: BTreeMap<usize, f64>,
}

/// Mean Euclidean distance between two different rows of a group, generated over real.
/// - `generated`, `real`: `(n, d)`, float
/// - `generated_groups`, `real_groups`: the group of each row, such as its pair of labels
///
/// Unlike recall it looks within groups, where a guided or distilled model loses diversity first.
///
/// # Errors
/// [`Error::NoSharedGroup`] when no group has a ratio; [`Error::Shape`], [`Error::Groups`], [`Error::NonFinite`].
///
/// ```
/// use candle_core::{Device, Tensor};
/// use cccm_eval::diversity;
///
/// let real = Tensor::new(&[[0f32], [4.0], [0.0], [2.0]], &Device::Cpu)?;
/// let generated = Tensor::new(&[[0f32], [1.0], [7.0], [7.0]], &Device::Cpu)?;
/// let diversity = diversity(&generated, &[0, 0, 1, 1], &real, &[0, 0, 1, 1])?;
/// assert_eq!((diversity.groups[&0], diversity.groups[&1]), (0.25, 0.0));
/// assert_eq!(diversity.overall, (1.0 + 0.0) / (4.0 + 2.0));
/// # Ok::<(), cccm_eval::Error>(())
/// ```
pub fn diversity(
    generated: &Tensor,
    generated_groups: &[usize],
    real: &Tensor,
    real_groups: &[usize],
) -> Result<Diversity> {
    let real = Rows::new("real features", real)?;
    let generated = Rows::new("generated features", generated)?.with_dim_of(&real)?;
    let real_spread = spread_by_group(&real, real_groups)?;
    let generated_spread = spread_by_group(&generated, generated_groups)?;
    let shared: BTreeMap<usize, (f64, f64)> = generated_spread
        .into_iter()
        .filter_map(|(group, spread)| {
            let real = *real_spread.get(&group)?;
            (real > 0.0).then_some((group, (spread, real)))
        })
        .collect();
    if shared.is_empty() {
        return Err(Error::NoSharedGroup { needs: "two generated rows, and two real ones that differ" });
    }
    let (generated, real) = shared.values().fold((0.0, 0.0), |(a, b), (x, y)| (a + x, b + y));
    let groups = shared.into_iter().map(|(group, (generated, real))| (group, generated / real)).collect();
    Ok(Diversity { overall: generated / real, groups })
}

/// Mean distance between different rows of each group of at least two.
fn spread_by_group(rows: &Rows, groups: &[usize]) -> Result<BTreeMap<usize, f64>> {
    let by_group = rows_by_group(rows, groups)?.into_iter().filter(|(_, members)| members.len() > 1);
    Ok(by_group.map(|(group, members)| (group, mean_distance(rows, &members))).collect())
}

fn mean_distance(rows: &Rows, members: &[usize]) -> f64 {
    let to_later = |(i, row): (usize, &usize)| {
        let later = members[i + 1..].iter();
        later.map(|other| squared_distance(rows.row(*row), rows.row(*other)).sqrt()).sum::<f64>()
    };
    // Collected before they are summed: a parallel sum would add in a random order and so have random last
    // bits.
    let sums: Vec<f64> = members.par_iter().enumerate().map(to_later).collect();
    let pairs = members.len() * (members.len() - 1) / 2;
    sums.iter().sum::<f64>() / pairs as f64
}

#[cfg(test)]
mod tests {
    use candle_core::Device;
    use cccm_sched::Streams;

    use super::*;

    fn normal(purpose: &str, n: u64) -> Tensor {
        Streams::new(5).draws(0, 0..n).normal(purpose, &[4]).unwrap()
    }

    #[test]
    fn the_same_distribution_is_as_diverse() {
        let groups: Vec<usize> = (0..400).map(|i| i % 2).collect();
        let narrower = (normal("generated", 400) * 0.5).unwrap();
        for (generated, want) in [(normal("generated", 400), 1.0), (narrower, 0.5)] {
            let got = diversity(&generated, &groups, &normal("real", 400), &groups).unwrap();
            assert!((got.overall - want).abs() < 0.05 && (got.groups[&1] - want).abs() < 0.05, "{got:?}");
        }
    }

    #[test]
    fn groups_without_a_ratio_are_left_out() {
        let cpu = &Device::Cpu;
        let generated = Tensor::new(&[[0f32], [1.0], [0.0], [1.0], [5.0], [2.0], [3.0]], cpu).unwrap();
        let real = Tensor::new(&[[0f32], [2.0], [1.0], [1.0], [8.0], [9.0], [4.0]], cpu).unwrap();
        // Group 1 has equal real rows, 2 one generated row, 3 no real ones.
        let got = diversity(&generated, &[0, 0, 1, 1, 2, 3, 3], &real, &[0, 0, 1, 1, 2, 2, 4]).unwrap();
        assert_eq!(got, Diversity { overall: 0.5, groups: BTreeMap::from([(0, 0.5)]) });
        let none = diversity(&generated, &[0; 7], &real, &[1; 7]);
        assert!(matches!(none, Err(Error::NoSharedGroup { .. })));
        let short = diversity(&generated, &[0; 6], &real, &[1; 7]);
        assert!(matches!(short, Err(Error::Groups { what: "generated features", got: 6, want: 7 })));
    }
}
