//! Trajectories of the teacher, as a first stage of distillation (consistency mid-training: Hu et al. 2025).

use std::cell::RefCell;
use std::rc::Rc;

use candle_core::{Device, Tensor};
use cccm_labels::Combination;
use cccm_sched::{Denoiser, DpmSolver, Draws, Guidance, NoiseSchedule};
use serde::{Deserialize, Serialize};

use crate::points::like;
use crate::{Error, Result};

/// Settings of the first stage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TrajectoryConfig {
    /// Optimizer steps of the stage, at the start of the run. Default 0: there is no such stage.
    pub steps: u64,
    /// Solver steps of a trajectory, from 2 to the number of points that the student knows. Default 16 (Hu et al. 2025).
    pub solver_steps: usize,
}

impl Default for TrajectoryConfig {
    fn default() -> Self {
        Self { steps: 0, solver_steps: 16 }
    }
}

/// Points of trajectories to train on, and where each of them ends.
pub(crate) struct TrajectoryPoints {
    /// `(batch, channels, height, width)`, without a graph; so is `end`.
    pub(crate) x_t: Tensor,
    /// `(batch,)`, `u32`, on the CPU.
    pub(crate) t: Tensor,
    /// Per label kind `(batch,)`, `u32`.
    pub(crate) labels: Vec<Tensor>,
    /// `(batch,)`, `f32`, on the CPU.
    pub(crate) w: Tensor,
    /// The clean image at the end.
    pub(crate) end: Tensor,
}

/// Trajectories of the guided teacher from noise to clean images.
///
/// Each sample of a batch has its own trajectory. It is used for as many optimizer steps as it has points,
/// each point once, in random order. No image is needed, so combinations that no image shows are trained like
/// all others. A trajectory is a function of the seed, its place in the batch and the first of its steps, so
/// a resumed run computes the same one again.
pub(crate) struct Trajectories {
    steps: u64,
    schedule: NoiseSchedule,
    solver: DpmSolver,
    guidance: Guidance,
    w_interval: (f64, f64),
    combinations: Vec<Combination>,
    /// The trajectories in use, each with the draws it was made from: a batch may come in several pieces.
    made: RefCell<Vec<(Draws, Rc<Made>)>>,
}

/// The trajectories of some samples.
struct Made {
    /// One per point, in the order of the solver's timesteps.
    points: Vec<Tensor>,
    end: Tensor,
    labels: Vec<Tensor>,
    w: Tensor,
    /// Per sample the order in which its points serve.
    orders: Vec<Vec<usize>>,
}

impl Trajectories {
    /// - `points`: what the student is trained at, ascending
    /// - `combinations`: what trajectories may show; each is drawn with equal probability
    pub(crate) fn new(
        cfg: &TrajectoryConfig,
        schedule: NoiseSchedule,
        points: &[u32],
        guidance: Guidance,
        w_interval: (f64, f64),
        combinations: Vec<Combination>,
    ) -> Result<Self> {
        if !(2..=points.len()).contains(&cfg.solver_steps) {
            let want = "at least 2, and at most the number of timesteps that the student is trained at";
            return Err(Error::invalid("trajectory_solver_steps", cfg.solver_steps, want));
        }
        // Evenly spaced in time, from the last to the first. Spacing in ln(alpha / sigma) has a tenth of the solver's error on
        // Gaussian data, but gave a student whose pictures were further from real ones (`RESULTS.md`).
        let (last, gaps) = (points.len() - 1, cfg.solver_steps - 1);
        let timesteps: Vec<u32> = (0..=gaps).map(|step| points[last - step * last / gaps]).collect();
        let kinds = guidance.label_kinds();
        if combinations.is_empty() || combinations.iter().any(|labels| labels.len() != kinds) {
            let got = format!("{} combinations", combinations.len());
            return Err(Error::invalid("combinations", got, "at least one, each with a label of every kind"));
        }
        Ok(Self {
            steps: cfg.steps,
            solver: DpmSolver::new(&schedule, &timesteps)?,
            schedule,
            guidance,
            w_interval,
            combinations,
            made: RefCell::default(),
        })
    }

    /// Whether this step belongs to the stage.
    pub(crate) fn serve(&self, draws: &Draws) -> bool {
        draws.step() < self.steps
    }

    /// What the samples of one step are trained on.
    /// - `image_shape`: `[channels, height, width]`
    pub(crate) fn points(
        &self,
        teacher: &dyn Denoiser,
        draws: &Draws,
        image_shape: &[usize],
        device: &Device,
    ) -> Result<TrajectoryPoints> {
        let turn = draws.step() % self.solver.timesteps().len() as u64;
        let made = self.made(teacher, &draws.at_step(draws.step() - turn), image_shape, device)?;
        let places: Vec<usize> = made.orders.iter().map(|order| order[turn as usize]).collect();
        let points =
            places.iter().enumerate().map(|(sample, place)| made.points[*place].narrow(0, sample, 1));
        let points: Vec<Tensor> = points.collect::<candle_core::Result<_>>()?;
        let t = places.iter().map(|place| self.solver.timesteps()[*place]);
        Ok(TrajectoryPoints {
            x_t: Tensor::cat(&points, 0)?,
            t: Tensor::from_iter(t, &Device::Cpu)?,
            labels: made.labels.clone(),
            w: made.w.clone(),
            end: made.end.clone(),
        })
    }

    /// The trajectories that begin at the step of these draws.
    fn made(
        &self,
        teacher: &dyn Denoiser,
        draws: &Draws,
        image_shape: &[usize],
        device: &Device,
    ) -> Result<Rc<Made>> {
        let mut kept = self.made.borrow_mut();
        if let Some((_, made)) = kept.iter().find(|(of, _)| of == draws) {
            return Ok(Rc::clone(made));
        }
        kept.retain(|(of, _)| of.step() == draws.step());
        let made = Rc::new(self.make(teacher, draws, image_shape, device)?);
        kept.push((draws.clone(), Rc::clone(&made)));
        Ok(made)
    }

    fn make(
        &self,
        teacher: &dyn Denoiser,
        draws: &Draws,
        image_shape: &[usize],
        device: &Device,
    ) -> Result<Made> {
        let drawn =
            draws.below("trajectory.combination", self.combinations.len() as u32)?.to_vec1::<u32>()?;
        let labels = (0..self.guidance.label_kinds())
            .map(|kind| {
                let labels = drawn.iter().map(|drawn| self.combinations[*drawn as usize][kind]);
                Tensor::from_iter(labels, device)
            })
            .collect::<candle_core::Result<Vec<_>>>()?;
        let w = draws.uniform("trajectory.w", &[], self.w_interval)?;
        let mut x_t = draws.normal("trajectory.noise", image_shape)?.to_device(device)?;
        let (mut points, mut before) = (Vec::new(), None);
        for (index, t) in self.solver.timesteps().iter().enumerate() {
            let times = Tensor::full(*t, draws.batch(), &Device::Cpu)?;
            let prediction = self.guidance.predict(teacher, &x_t, &times, &labels, &w)?;
            let prediction = like(&prediction, &x_t)?.detach();
            let (x_0, _) =
                self.schedule.clean_and_noise(&x_t, &times, &prediction, self.guidance.thresholding())?;
            points.push(x_t.clone());
            x_t = self.solver.step(index, &x_t, &x_0, before.as_ref())?;
            before = Some(x_0);
        }
        Ok(Made { points, end: x_t, labels, w, orders: self.orders(draws)? })
    }

    /// Per sample its points in a drawn order.
    fn orders(&self, draws: &Draws) -> Result<Vec<Vec<usize>>> {
        let count = self.solver.timesteps().len();
        let keys = draws.uniform("trajectory.order", &[count], (0.0, 1.0))?.to_vec2::<f32>()?;
        let order = |keys: Vec<f32>| {
            let mut order: Vec<usize> = (0..count).collect();
            order.sort_by(|a, b| keys[*a].total_cmp(&keys[*b]).then(a.cmp(b)));
            order
        };
        Ok(keys.into_iter().map(order).collect())
    }
}
