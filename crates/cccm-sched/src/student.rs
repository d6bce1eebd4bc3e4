//! Facts about a student's training that sampling depends on.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::ddim::spread;
use crate::{Boundary, Error, NoiseSchedule, Result, SolverGrid};

/// Training facts of a student that sampling depends on; stored in its `config.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StudentConfig {
    /// Guidance weights `w` drawn in training, `0 <= low <= high`; users type `w + 1`. Default `(2.6, 3.0)`.
    pub w_interval: (f64, f64),
    /// Solver steps of the training grid, [`SolverGrid`], from 1 to the training timesteps of the schedule;
    /// few-step sampling visits its points, or those up to `first_timestep`. Default 50.
    pub num_ddim_timesteps: usize,
    /// Factor on `t` in the boundary scalings, above 0. Default 10.
    pub timestep_scaling: f64,
    /// Highest timestep of the student: it is trained at the points of the solver grid up to here. Sampling
    /// starts at the last of these points, with pure noise in place of the noisy image. Default none: all
    /// points, as published.
    ///
    /// At the end of the schedule, a noise prediction means the image
    /// `(x - sqrt(1 - alpha_bar) eps) / sqrt(alpha_bar)`. The divisor is near 0.006 there, so every error of
    /// the prediction is magnified. At an earlier timestep the noisy image shows hardly more of the image
    /// (4 % at 799 of 1000 linear steps), but the divisor is several times larger.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_timestep: Option<u32>,
    /// For some numbers of steps, the timesteps that few-step sampling visits, descending, in place of
    /// [`SolverGrid::few_step_timesteps`](crate::SolverGrid::few_step_timesteps). Default none.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub few_step_timesteps: BTreeMap<usize, Vec<u32>>,
}

impl Default for StudentConfig {
    /// The published runs.
    fn default() -> Self {
        Self {
            w_interval: (2.6, 3.0),
            num_ddim_timesteps: 50,
            timestep_scaling: 10.0,
            first_timestep: None,
            few_step_timesteps: BTreeMap::new(),
        }
    }
}

impl StudentConfig {
    /// Checks every field.
    ///
    /// # Errors
    /// [`Error::InvalidConfig`] for the first value out of range.
    pub fn validate(&self) -> Result<()> {
        let (low, high) = self.w_interval;
        if !(0.0 <= low && low <= high && high.is_finite()) {
            let got = format!("({low}, {high})");
            return Err(Error::invalid("w_interval", got, "two numbers with 0 <= low <= high"));
        }
        if self.num_ddim_timesteps == 0 {
            return Err(Error::invalid("num_ddim_timesteps", 0, "at least 1"));
        }
        for (steps, timesteps) in &self.few_step_timesteps {
            if timesteps.len() != *steps || timesteps.windows(2).any(|pair| pair[0] <= pair[1]) {
                let got = format!("{timesteps:?} for {steps} steps");
                return Err(Error::invalid("few_step_timesteps", got, "as many as steps, descending"));
            }
        }
        self.boundary().map(|_| ())
    }

    /// The points of a solver grid at which the student is trained, ascending.
    ///
    /// # Errors
    /// [`Error::InvalidConfig`] when all points lie above `first_timestep`.
    pub fn points<'a>(&self, grid: &'a SolverGrid) -> Result<&'a [u32]> {
        self.first_timestep.map_or(Ok(grid.timesteps()), |first| grid.up_to(first))
    }

    /// The timesteps that sampling in `steps` steps visits, descending: those of [`Self::few_step_timesteps`]
    /// if it has some for this number, else evenly spaced points of the grid.
    ///
    /// # Errors
    /// [`Error::InvalidConfig`] unless `steps` is from 1 to the number of [`Self::points`]
    /// (`num_ddim_timesteps`, or fewer with a `first_timestep`), or when a timestep lies outside the
    /// schedule.
    pub fn timesteps(&self, schedule: &NoiseSchedule, steps: usize) -> Result<Vec<u32>> {
        let grid = SolverGrid::new(schedule, self.num_ddim_timesteps)?;
        let usual = spread(self.points(&grid)?, steps)?;
        let timesteps = self.few_step_timesteps.get(&steps).cloned().unwrap_or(usual);
        match timesteps.iter().find(|t| **t as usize >= schedule.train_timesteps()) {
            Some(t) => Err(Error::invalid("few_step_timesteps", t, "below the number of training timesteps")),
            None => Ok(timesteps),
        }
    }

    /// The boundary scalings of this student.
    ///
    /// # Errors
    /// [`Error::InvalidConfig`] when `timestep_scaling` is out of range.
    pub fn boundary(&self) -> Result<Boundary> {
        Boundary::new(self.timestep_scaling)
    }

    /// Guidance scale to sample at unless told otherwise: the middle of the interval, as users count it (`w + 1`).
    pub fn default_guidance_scale(&self) -> f64 {
        f64::midpoint(self.w_interval.0, self.w_interval.1) + 1.0
    }

    /// Whether training drew the weight behind this guidance scale; beyond the interval the embedding does not
    /// extrapolate.
    pub fn covers_guidance_scale(&self, guidance_scale: f64) -> bool {
        // Scales are typed in decimal, so that 3.6 must count as 2.6 + 1.
        const ROUNDING: f64 = 1e-6;
        let w = guidance_scale - 1.0;
        self.w_interval.0 - ROUNDING <= w && w <= self.w_interval.1 + ROUNDING
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ScheduleConfig;

    #[test]
    fn guidance_scale_follows_the_interval() {
        let cfg = StudentConfig::default();
        assert!((cfg.default_guidance_scale() - 3.8).abs() < 1e-12);
        assert!(cfg.covers_guidance_scale(3.6) && cfg.covers_guidance_scale(4.0));
        assert!(!cfg.covers_guidance_scale(2.8) && !cfg.covers_guidance_scale(4.1));
    }

    #[test]
    fn bad_values_are_named() {
        let field = |cfg: StudentConfig| match cfg.validate() {
            Err(Error::InvalidConfig { field, .. }) => field,
            other => panic!("{other:?}"),
        };
        assert_eq!(field(StudentConfig { w_interval: (3.0, 2.0), ..Default::default() }), "w_interval");
        assert_eq!(
            field(StudentConfig { num_ddim_timesteps: 0, ..Default::default() }),
            "num_ddim_timesteps"
        );
        assert_eq!(field(StudentConfig { timestep_scaling: 0.0, ..Default::default() }), "timestep_scaling");
        for timesteps in [vec![999], vec![499, 999], vec![999, 999]] {
            assert_eq!(field(searched(timesteps)), "few_step_timesteps");
        }
    }

    /// A student with timesteps of its own for two steps.
    fn searched(timesteps: Vec<u32>) -> StudentConfig {
        StudentConfig { few_step_timesteps: BTreeMap::from([(2, timesteps)]), ..Default::default() }
    }

    #[test]
    fn searched_timesteps_win_where_there_are_some() {
        let schedule = NoiseSchedule::new(&ScheduleConfig::default()).unwrap();
        let student = searched(vec![999, 619]);
        assert_eq!(student.timesteps(&schedule, 2).unwrap(), [999, 619]);
        assert_eq!(student.timesteps(&schedule, 4).unwrap(), [999, 759, 499, 259]);
        assert!(searched(vec![1000, 5]).timesteps(&schedule, 2).is_err());
        assert!(student.timesteps(&schedule, 0).is_err());
    }

    #[test]
    fn a_first_timestep_shortens_the_grid() {
        let schedule = NoiseSchedule::new(&ScheduleConfig::default()).unwrap();
        let from = |first| StudentConfig { first_timestep: Some(first), ..Default::default() };
        assert_eq!(from(799).timesteps(&schedule, 4).unwrap(), [799, 599, 399, 199]);
        assert_eq!(from(818).timesteps(&schedule, 1).unwrap(), [799]);
        assert_eq!(from(999).timesteps(&schedule, 4).unwrap(), [999, 759, 499, 259]);
        assert_eq!(from(19).timesteps(&schedule, 1).unwrap(), [19]);
        assert_eq!(from(799).timesteps(&schedule, 40).unwrap().last(), Some(&19));
        for (first, steps, named) in [(18, 1, "first_timestep"), (799, 41, "steps")] {
            let error = from(first).timesteps(&schedule, steps).unwrap_err().to_string();
            assert!(error.starts_with(&format!("`{named}`")), "{error}");
        }
    }

    #[test]
    fn files_without_a_search_stay_as_they_were() {
        let text = serde_json::to_string(&StudentConfig::default()).unwrap();
        assert!(!text.contains("few_step_timesteps") && !text.contains("first_timestep"), "{text}");
        let text = serde_json::to_string(&searched(vec![999, 619])).unwrap();
        assert_eq!(serde_json::from_str::<StudentConfig>(&text).unwrap(), searched(vec![999, 619]));
    }
}
