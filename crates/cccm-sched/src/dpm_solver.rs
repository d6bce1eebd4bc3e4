//! DPM-Solver++ of second order, for long steps down the noise (Lu et al. 2022, "DPM-Solver++").

use candle_core::Tensor;

use crate::{Error, NoiseSchedule, Result};

/// A list of timesteps that [`DpmSolver::step`] goes down one by one, the last of its steps ending at the clean image.
///
/// The second-order multistep method in terms of clean images, 2M (algorithm 2): each step after the first
/// extrapolates from the clean images predicted at this step and at the one before. The first and the last
/// step are of first order, like DDIM's.
#[derive(Clone, Debug)]
pub struct DpmSolver {
    timesteps: Vec<u32>,
    alpha_bar: Vec<f64>,
}

impl DpmSolver {
    /// A solver over these timesteps.
    /// - `timesteps`: descending, each below `train_timesteps`, at least one
    ///
    /// # Errors
    /// [`Error::InvalidConfig`] when they do not descend; [`Error::TimestepOutOfRange`] for one beyond the schedule.
    pub fn new(schedule: &NoiseSchedule, timesteps: &[u32]) -> Result<Self> {
        if timesteps.is_empty() || timesteps.windows(2).any(|pair| pair[0] <= pair[1]) {
            let want = "descending timesteps, at least one";
            return Err(Error::invalid("timesteps", format!("{timesteps:?}"), want));
        }
        let last = schedule.train_timesteps() as u32 - 1;
        let of =
            |t: &u32| schedule.alpha_bar().get(*t as usize).ok_or(Error::TimestepOutOfRange { t: *t, last });
        let alpha_bar = timesteps.iter().map(|t| of(t).map(|a| f64::from(*a))).collect::<Result<_>>()?;
        Ok(Self { timesteps: timesteps.to_vec(), alpha_bar })
    }

    /// Where the network is asked, descending.
    pub fn timesteps(&self) -> &[u32] {
        &self.timesteps
    }

    /// The image at the next timestep, or the clean image after the last step:
    /// `x' = (sigma' / sigma) x - alpha' (exp(-h) - 1) D`, `D = (1 + 1 / 2r) x0 - 1 / 2r x0_before`, where
    /// `h` is the increase of `lambda = ln(alpha / sigma)` in this step, and `r` the increase in the step
    /// before, divided by `h`.
    /// - `index`: which step, `0..timesteps.len()`
    /// - `x_t`, `x_0`, `x0_before`, result: `(batch, channels, height, width)`, float. `x_0` is the clean
    ///   image that the network predicts at this step, `x0_before` the one of the step before; the first step
    ///   has none
    ///
    /// # Errors
    /// [`Error::InvalidConfig`] for an index beyond the steps; [`Error::Candle`] when shapes differ.
    pub fn step(
        &self,
        index: usize,
        x_t: &Tensor,
        x_0: &Tensor,
        x0_before: Option<&Tensor>,
    ) -> Result<Tensor> {
        let Some(now) = self.alpha_bar.get(index) else {
            return Err(Error::invalid("index", index, "below the number of timesteps"));
        };
        let Some(next) = self.alpha_bar.get(index + 1) else {
            // At no noise the first-order step is the clean image itself.
            return Ok(x_0.clone());
        };
        let gain = lambda(*next) - lambda(*now);
        let direction = match (x0_before, index.checked_sub(1)) {
            (Some(x0_before), Some(before)) => {
                let ahead = gain / (lambda(*now) - lambda(self.alpha_bar[before])) / 2.0;
                (x_0.affine(1.0 + ahead, 0.0)? - x0_before.affine(ahead, 0.0)?)?
            }
            _ => x_0.clone(),
        };
        let keep = ((1.0 - next) / (1.0 - now)).sqrt();
        let add = -next.sqrt() * (-gain).exp_m1();
        Ok((x_t.affine(keep, 0.0)? + direction.affine(add, 0.0)?)?)
    }
}

/// Half the logarithm of the signal-to-noise ratio, `ln(alpha / sigma)`.
fn lambda(alpha_bar: f64) -> f64 {
    0.5 * (alpha_bar / (1.0 - alpha_bar)).ln()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ScheduleConfig;
    use candle_core::{DType, Device};

    fn schedule() -> NoiseSchedule {
        NoiseSchedule::new(&ScheduleConfig::default()).unwrap()
    }

    fn scalar(x: &Tensor) -> f64 {
        x.to_dtype(DType::F64).unwrap().to_vec1::<f64>().unwrap()[0]
    }

    /// Data drawn from N(0, 0.5²): its clean image and its flow are known in closed form.
    fn solve(solver: &DpmSolver) -> f64 {
        const VARIANCE: f64 = 0.25;
        let mut x = Tensor::new(&[1.3f64], &Device::Cpu).unwrap();
        let mut before = None;
        for index in 0..solver.timesteps().len() {
            let a = solver.alpha_bar[index];
            let x_0 = x.affine(a.sqrt() * VARIANCE / (a * VARIANCE + 1.0 - a), 0.0).unwrap();
            x = solver.step(index, &x, &x_0, before.as_ref()).unwrap();
            before = Some(x_0);
        }
        scalar(&x)
    }

    #[test]
    fn it_converges_with_second_order_to_the_exact_flow() {
        // The flow keeps x / sqrt(variance(t)); the last timestep is 0, from where the clean image is exact to 1e-4.
        let schedule = schedule();
        let a = f64::from(schedule.alpha_bar()[799]);
        let exact = 1.3 / (a * 0.25 + 1.0 - a).sqrt() * 0.5;
        let lambdas: Vec<f64> = schedule.alpha_bar().iter().map(|a| lambda(f64::from(*a))).collect();
        let error = |steps: u32| {
            // Evenly spaced in lambda, where the method's order shows.
            let mut timesteps: Vec<u32> = (0..=steps)
                .map(|k| {
                    let want = lambdas[799] + (lambdas[0] - lambdas[799]) * f64::from(k) / f64::from(steps);
                    lambdas.partition_point(|l| *l > want).min(799) as u32
                })
                .collect();
            timesteps.dedup();
            (solve(&DpmSolver::new(&schedule, &timesteps).unwrap()) - exact).abs()
        };
        let (coarse, fine) = (error(16), error(32));
        assert!(fine < coarse / 3.0 && fine < 3e-3, "{coarse}, then {fine}");
    }

    #[test]
    fn the_first_step_is_ddim_and_the_last_the_clean_image() -> Result<()> {
        let schedule = schedule();
        let solver = DpmSolver::new(&schedule, &[799, 399])?;
        let row = |value: f32| Tensor::new(&[value], &Device::Cpu);
        let (x_t, x_0) = (row(0.7)?, row(-0.4)?);
        let t = Tensor::new(&[799u32], &Device::Cpu)?;
        let eps = schedule.eps_from_x0(&x_t, &t, &x_0)?;
        let want = scalar(&schedule.ddim_step(&x_t, &eps, 799, 399)?);
        let got = scalar(&solver.step(0, &x_t, &x_0, None)?);
        assert!((got - want).abs() < 1e-6, "{got} instead of {want}");
        assert_eq!(scalar(&solver.step(1, &x_t, &x_0, Some(&x_t))?), scalar(&x_0));
        assert!(solver.step(2, &x_t, &x_0, None).is_err());
        Ok(())
    }

    #[test]
    fn bad_timesteps_are_refused() {
        for timesteps in [&[][..], &[5, 5], &[5, 9]] {
            assert!(matches!(DpmSolver::new(&schedule(), timesteps), Err(Error::InvalidConfig { .. })));
        }
        let beyond = DpmSolver::new(&schedule(), &[1000, 5]);
        assert!(matches!(beyond, Err(Error::TimestepOutOfRange { t: 1000, last: 999 })));
    }
}
