//! Which solver steps a student is trained on.

use candle_core::Tensor;
use cccm_sched::{Draws, SolverGrid};
use serde::{Deserialize, Serialize};

use crate::choice::choice;

/// How the solver step of each sample is drawn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TimestepSampling {
    /// Every step of the grid is as likely.
    #[default]
    Uniform,
    /// Steps are as likely as the noise levels that they cross, whose logarithm is normal with mean -1.1 and standard
    /// deviation 2 (Song & Dhariwal 2023, section 3.5): less of the high noise, where little of the image is decided.
    Lognormal,
}

choice!(TimestepSampling, "timestep sampling", "uniform" => Uniform, "lognormal" => Lognormal);

/// Mean and standard deviation of the logarithm of the noise level.
const LN_SIGMA: (f64, f64) = (-1.1, 2.0);

/// The distribution of steps over one grid.
#[derive(Clone, Debug)]
pub(crate) enum StepDraws {
    Uniform(u32),
    Weighted(Vec<f64>),
}

impl StepDraws {
    /// - `points`: how many of the grid's, from the lowest up, are drawn
    pub(crate) fn new(sampling: TimestepSampling, grid: &SolverGrid, points: usize) -> Self {
        let (mean, std) = LN_SIGMA;
        match sampling {
            TimestepSampling::Uniform => Self::Uniform(points as u32),
            TimestepSampling::Lognormal => {
                let mut weights = grid.lognormal_weights(mean, std);
                weights.truncate(points);
                Self::Weighted(weights)
            }
        }
    }

    /// One step per sample, `(batch,)`, `u32`, each among the points.
    pub(crate) fn draw(&self, draws: &Draws) -> candle_core::Result<Tensor> {
        match self {
            Self::Uniform(steps) => draws.below("index", *steps),
            Self::Weighted(weights) => draws.weighted("index", weights),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cccm_sched::{NoiseSchedule, ScheduleConfig, Streams};

    #[test]
    fn lognormal_prefers_low_noise_and_leaves_nothing_out() -> anyhow::Result<()> {
        let grid = SolverGrid::new(&NoiseSchedule::new(&ScheduleConfig::default())?, 10)?;
        let draws = Streams::new(3).draws(0, 0..20_000);
        let count = |sampling| -> anyhow::Result<Vec<usize>> {
            let index = StepDraws::new(sampling, &grid, 10).draw(&draws)?.to_vec1::<u32>()?;
            Ok((0..10).map(|step| index.iter().filter(|i| **i == step).count()).collect())
        };
        let (uniform, lognormal) = (count(TimestepSampling::Uniform)?, count(TimestepSampling::Lognormal)?);
        assert!(uniform.iter().all(|count| (1800..2200).contains(count)), "{uniform:?}");
        // The first step crosses sigma 0.01 to 0.34 of 0.01 to 157, the last 60 to 157.
        assert!((9_500..10_700).contains(&lognormal[0]), "{lognormal:?}");
        assert!((20..140).contains(&lognormal[9]), "{lognormal:?}");
        Ok(())
    }

    #[test]
    fn points_that_are_left_out_are_never_drawn() -> anyhow::Result<()> {
        let grid = SolverGrid::new(&NoiseSchedule::new(&ScheduleConfig::default())?, 10)?;
        let draws = Streams::new(3).draws(0, 0..2_000);
        for sampling in [TimestepSampling::Uniform, TimestepSampling::Lognormal] {
            let index = StepDraws::new(sampling, &grid, 4).draw(&draws)?.to_vec1::<u32>()?;
            assert_eq!(index.iter().max(), Some(&3));
        }
        Ok(())
    }

    #[test]
    fn names_round_trip() {
        for sampling in [TimestepSampling::Uniform, TimestepSampling::Lognormal] {
            assert_eq!(sampling.to_string().parse::<TimestepSampling>().unwrap(), sampling);
            assert_eq!(serde_json::to_value(sampling).unwrap(), sampling.to_string());
        }
    }
}
