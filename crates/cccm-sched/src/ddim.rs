//! Solver grids and the DDIM step (Song et al. 2021, "Denoising Diffusion Implicit Models").

use candle_core::Tensor;

use crate::schedule::per_sample;
use crate::{Error, NoiseSchedule, Result};

/// The timesteps a consistency model is distilled on: `k · s - 1` for `k = 1..=K`, where the stride `s` is `floor(T / K)`, and
/// for each the point one solver step earlier. The last is `T - 1` where K divides T, else `K · floor(T / K) - 1`, below that.
#[derive(Clone, Debug)]
pub struct SolverGrid {
    timesteps: Vec<u32>,
    alpha_bar: Vec<f32>,
    alpha_bar_prev: Vec<f32>,
    stride: u32,
}

impl SolverGrid {
    /// The grid of `solver_steps` (K) points over a schedule.
    ///
    /// # Errors
    /// [`Error::InvalidConfig`] unless `1 <= solver_steps <= train_timesteps`.
    pub fn new(schedule: &NoiseSchedule, solver_steps: usize) -> Result<Self> {
        let train_timesteps = schedule.train_timesteps();
        if !(1..=train_timesteps).contains(&solver_steps) {
            return Err(Error::invalid(
                "num_ddim_timesteps",
                solver_steps,
                "between 1 and `train_timesteps`",
            ));
        }
        let stride = train_timesteps / solver_steps;
        let timesteps: Vec<u32> = (1..=solver_steps).map(|k| (k * stride - 1) as u32).collect();
        let alpha_bar = timesteps.iter().map(|t| schedule.alpha_bar()[*t as usize]).collect();
        // Differs: the point before the first one has alpha_bar[0] instead of 1, as in the published solver.
        let before = std::iter::once(0).chain(timesteps.iter().copied());
        let alpha_bar_prev = before.take(solver_steps).map(|t| schedule.alpha_bar()[t as usize]).collect();
        Ok(Self { timesteps, alpha_bar, alpha_bar_prev, stride: stride as u32 })
    }

    /// Number of solver steps (K).
    pub fn solver_steps(&self) -> usize {
        self.timesteps.len()
    }

    /// The grid, ascending: `s - 1, 2 s - 1, …, K s - 1` with the stride `s = floor(T / K)`.
    pub fn timesteps(&self) -> &[u32] {
        &self.timesteps
    }

    /// `alpha_bar` one solver step before each point of the grid.
    pub fn alpha_bar_prev(&self) -> &[f32] {
        &self.alpha_bar_prev
    }

    /// How much of a lognormal distribution of noise levels `sigma = sqrt((1 - alpha_bar) / alpha_bar)` lies within each
    /// solver step, up to one factor: `erf((ln sigma_start - mean) / (sqrt(2) std)) - erf((ln sigma_end - mean) /
    /// (sqrt(2) std))` (Song & Dhariwal 2023, section 3.5). Ascending, as [`Self::timesteps`].
    /// - `mean`, `std`: of the logarithm of sigma; `std` is above 0
    pub fn lognormal_weights(&self, mean: f64, std: f64) -> Vec<f64> {
        let below = |alpha_bar: &f32| {
            let alpha_bar = f64::from(*alpha_bar);
            let ln_sigma = 0.5 * ((1.0 - alpha_bar) / alpha_bar).ln();
            libm::erf((ln_sigma - mean) / (std::f64::consts::SQRT_2 * std))
        };
        self.alpha_bar
            .iter()
            .zip(&self.alpha_bar_prev)
            .map(|(start, end)| below(start) - below(end))
            .collect()
    }

    /// Where each solver step starts and ends: `t_start = grid[i]`, `t_end = max(t_start - floor(T / K), 0)`.
    /// - `index`: `(batch,)`, `u32`, each in `0..K`; results: `(batch,)`, `u32`, on its device
    ///
    /// # Errors
    /// [`Error::InvalidConfig`] for an index outside the grid.
    pub fn start_and_end(&self, index: &Tensor) -> Result<(Tensor, Tensor)> {
        let start = look_up(index, &self.timesteps)?;
        let end: Vec<u32> = start.iter().map(|t| t.saturating_sub(self.stride)).collect();
        let n = start.len();
        Ok((Tensor::from_vec(start, n, index.device())?, Tensor::from_vec(end, n, index.device())?))
    }

    /// One deterministic DDIM step down the grid: `sqrt(alpha_bar_prev) x_0 + sqrt(1 - alpha_bar_prev) eps`
    /// (Song et al. 2021, eq. 12 with sigma 0).
    /// - `index`: `(batch,)`, `u32`, each in `0..K`
    /// - `x_0`, `eps`, result: `(batch, channels, height, width)`, float
    ///
    /// # Errors
    /// [`Error::InvalidConfig`] for an index outside the grid; [`Error::Candle`] when shapes differ.
    pub fn step(&self, index: &Tensor, x_0: &Tensor, eps: &Tensor) -> Result<Tensor> {
        let alpha_bar = look_up(index, &self.alpha_bar_prev)?;
        let signal = per_sample(alpha_bar.iter().map(|a| a.sqrt()).collect(), x_0)?;
        let noise = per_sample(alpha_bar.iter().map(|a| (1.0 - a).sqrt()).collect(), eps)?;
        Ok((x_0.broadcast_mul(&signal)? + eps.broadcast_mul(&noise)?)?)
    }

    /// The timesteps a few-step sampler visits, descending: `grid_desc[floor(j K / n)]` for `j = 0..n`
    /// (Luo et al. 2023; the schedule of LCM samplers).
    ///
    /// # Errors
    /// [`Error::InvalidConfig`] unless `1 <= steps <= K`: more steps would visit points twice.
    pub fn few_step_timesteps(&self, steps: usize) -> Result<Vec<u32>> {
        spread(&self.timesteps, steps)
    }

    /// The points of the grid up to a timestep, ascending. A student with this `first_timestep` is trained
    /// and sampled at them.
    ///
    /// # Errors
    /// [`Error::InvalidConfig`] when all points lie above `first_timestep`.
    pub fn up_to(&self, first_timestep: u32) -> Result<&[u32]> {
        match self.timesteps.partition_point(|t| *t <= first_timestep) {
            0 => Err(Error::invalid(
                "first_timestep",
                first_timestep,
                "at least the solver grid's lowest point",
            )),
            points => Ok(&self.timesteps[..points]),
        }
    }
}

/// `steps` evenly spaced entries of `points`, from the last one down.
pub(crate) fn spread(points: &[u32], steps: usize) -> Result<Vec<u32>> {
    let count = points.len();
    if !(1..=count).contains(&steps) {
        return Err(Error::invalid(
            "steps",
            steps,
            "between 1 and the student's `num_ddim_timesteps`, or as many of them as lie below its `first_timestep`",
        ));
    }
    Ok((0..steps).map(|j| points[count - 1 - j * count / steps]).collect())
}

fn look_up<T: Copy>(index: &Tensor, table: &[T]) -> Result<Vec<T>> {
    let entry = |i: u32| {
        let missing = || Error::invalid("index", i, "below the number of solver steps");
        table.get(i as usize).copied().ok_or_else(missing)
    };
    index.to_vec1::<u32>()?.into_iter().map(entry).collect()
}

/// Timesteps of the DDIM sampler for `steps` steps, ascending: `1 + j · floor(T / steps)`.
///
/// # Errors
/// [`Error::InvalidConfig`] when `steps` is 0 or so many that the last timestep leaves the schedule.
pub fn ddim_timesteps(train_timesteps: usize, steps: usize) -> Result<Vec<u32>> {
    let stride = train_timesteps.checked_div(steps).unwrap_or(0);
    if stride == 0 || (steps - 1) * stride + 1 >= train_timesteps {
        return Err(Error::invalid("steps", steps, "at least 1 and below `train_timesteps`"));
    }
    Ok((0..steps).map(|j| (1 + j * stride) as u32).collect())
}

/// Numbers of solver steps for the stages of a training that goes from long jumps to short ones:
/// `first, 2 first, 4 first, …` and finally `last` (the doubling of Song & Dhariwal 2023, section 3.4).
///
/// # Errors
/// [`Error::InvalidConfig`] unless `first` lies in `1..=last` and every number divides `train_timesteps`:
/// otherwise a grid would not reach the last timestep, where sampling starts.
pub fn doubling_solver_steps(train_timesteps: usize, first: usize, last: usize) -> Result<Vec<usize>> {
    const WANT: &str = "between 1 and `num_ddim_timesteps`, such that it, its doublings below `num_ddim_timesteps`, and \
                        `num_ddim_timesteps` itself divide `train_timesteps`";
    if !(1..=last).contains(&first) {
        return Err(Error::invalid("solver_steps_start", first, WANT));
    }
    let doublings = std::iter::successors(Some(first), |steps| steps.checked_mul(2));
    let all: Vec<usize> = doublings.take_while(|steps| *steps < last).chain([last]).collect();
    match all.iter().find(|steps| !train_timesteps.is_multiple_of(**steps)) {
        Some(bad) => {
            let got = format!("{first}, which leads to {bad} steps over {train_timesteps} timesteps");
            Err(Error::invalid("solver_steps_start", got, WANT))
        }
        None => Ok(all),
    }
}

impl NoiseSchedule {
    /// One deterministic DDIM step from `t` to `t_prev` (Song et al. 2021, eq. 12 with sigma 0), every sample alike.
    /// - `x_t`, `eps`, result: `(batch, channels, height, width)`, float
    ///
    /// # Errors
    /// [`Error::TimestepOutOfRange`] for a timestep beyond the schedule; [`Error::Candle`] when shapes differ.
    pub fn ddim_step(&self, x_t: &Tensor, eps: &Tensor, t: u32, t_prev: u32) -> Result<Tensor> {
        let alpha_bar = |t: u32| {
            let last = self.train_timesteps() as u32 - 1;
            self.alpha_bar().get(t as usize).copied().ok_or(Error::TimestepOutOfRange { t, last })
        };
        let (now, prev) = (alpha_bar(t)?, alpha_bar(t_prev)?);
        let keep = (prev / now).sqrt();
        let move_by = (1.0 - prev).sqrt() - (prev * (1.0 - now) / now).sqrt();
        Ok((x_t.affine(f64::from(keep), 0.0)? + eps.affine(f64::from(move_by), 0.0)?)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ScheduleConfig;
    use candle_core::Device;

    fn grid(solver_steps: usize) -> SolverGrid {
        SolverGrid::new(&NoiseSchedule::new(&ScheduleConfig::default()).unwrap(), solver_steps).unwrap()
    }

    #[test]
    fn a_step_ends_at_the_point_before_and_never_below_zero() -> anyhow::Result<()> {
        let index = Tensor::new(&[0u32, 1, 49], &Device::Cpu)?;
        let (start, end) = grid(50).start_and_end(&index)?;
        assert_eq!(start.to_vec1::<u32>()?, [19, 39, 999]);
        assert_eq!(end.to_vec1::<u32>()?, [0, 19, 979]);
        assert!(grid(50).start_and_end(&Tensor::new(&[50u32], &Device::Cpu)?).is_err());
        Ok(())
    }

    #[test]
    fn lognormal_weights_are_integrals_of_the_normal_density() {
        let schedule = NoiseSchedule::new(&ScheduleConfig::default()).unwrap();
        let (mean, std) = (-1.1, 2.0);
        let ln_sigma = |t: usize| {
            let alpha_bar = f64::from(schedule.alpha_bar()[t]);
            ((1.0 - alpha_bar) / alpha_bar).sqrt().ln()
        };
        let density =
            |x: f64| (-((x - mean) / std).powi(2) / 2.0).exp() / (std * std::f64::consts::TAU.sqrt());
        for solver_steps in [50, 10] {
            let stride = 1000 / solver_steps;
            let weights = grid(solver_steps).lognormal_weights(mean, std);
            assert_eq!(weights.len(), solver_steps);
            for (k, weight) in weights.into_iter().enumerate() {
                // The first step ends at timestep 0.
                let (from, to) = (ln_sigma((k * stride).saturating_sub(1)), ln_sigma((k + 1) * stride - 1));
                let width = (to - from) / 1000.0;
                let middles = (0..1000).map(|i| density(from + (f64::from(i) + 0.5) * width));
                let integral = middles.sum::<f64>() * width;
                // Both halves of the distribution together are 2 in terms of the error function.
                assert!((weight - 2.0 * integral).abs() < 1e-6, "step {k}: {weight} and {integral}");
            }
        }
    }

    #[test]
    fn a_number_of_steps_that_does_not_divide_the_schedule_ends_below_its_last_timestep() {
        for (solver_steps, last) in [(1, 999), (3, 998), (50, 999), (300, 899), (501, 500), (1000, 999)] {
            assert_eq!(grid(solver_steps).timesteps().last(), Some(&last), "{solver_steps} steps");
        }
    }

    #[test]
    fn few_steps_start_at_the_top_and_never_repeat() {
        for steps in 1..=50 {
            let visited = grid(50).few_step_timesteps(steps).unwrap();
            assert_eq!((visited.len(), visited[0]), (steps, 999));
            assert!(visited.windows(2).all(|pair| pair[1] < pair[0]));
        }
        assert!(grid(50).few_step_timesteps(0).is_err());
        assert!(grid(50).few_step_timesteps(51).is_err());
    }

    #[test]
    fn solver_steps_double_up_to_the_last_number() {
        let steps = |first, last| doubling_solver_steps(1000, first, last);
        assert_eq!(steps(10, 50).unwrap(), [10, 20, 40, 50]);
        assert_eq!(steps(25, 50).unwrap(), [25, 50]);
        assert_eq!(steps(50, 50).unwrap(), [50]);
        assert_eq!(steps(1, 8).unwrap(), [1, 2, 4, 8]);
        for grid in steps(5, 50).unwrap().into_iter().map(grid) {
            assert_eq!(grid.timesteps().last(), Some(&999));
        }
        for (first, last, named) in [(0, 50, "0"), (51, 50, "51"), (2, 50, "16 steps"), (10, 30, "30 steps")]
        {
            let error = steps(first, last).unwrap_err().to_string();
            assert!(error.contains("solver_steps_start") && error.contains(named), "{error}");
        }
    }

    #[test]
    fn ddim_timesteps_stay_inside_the_schedule() {
        assert_eq!(ddim_timesteps(1000, 4).unwrap(), [1, 251, 501, 751]);
        assert_eq!(ddim_timesteps(1000, 50).unwrap().last(), Some(&981));
        assert!(ddim_timesteps(1000, 999).is_ok());
        for bad in [0, 1000, 2000] {
            assert!(ddim_timesteps(1000, bad).is_err(), "{bad}");
        }
    }
}
