//! Distilling a teacher into a student: the loss as a trainer sees it.

use cccm_labels::Combination;
use cccm_sched::{Draws, FuseSchedule, Guidance, NoiseSchedule, StudentConfig, doubling_solver_steps};

use crate::config::DistillConfig;
use crate::fusion::{DistillLoss, Networks};
use crate::objective::{Evaluation, Metered, Objective};
use crate::points::DistillInputs;
use crate::timesteps::StepDraws;
use crate::trajectory::Trajectories;
use crate::{Result, TrainBatch};

/// A stretch of training during which the solver grid stays the same.
struct Stage {
    loss: DistillLoss,
    steps: StepDraws,
}

/// The labels that a teacher knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelSpace {
    /// Per label kind the null token, which is its number of labels.
    pub null_labels: Combination,
    /// The combinations that trajectories are made for; none where there are no trajectories.
    pub combinations: Vec<Combination>,
}

impl LabelSpace {
    /// Labels of a distillation without trajectories.
    /// - `null_labels`: as the field
    pub fn new(null_labels: impl Into<Combination>) -> Self {
        Self { null_labels: null_labels.into(), combinations: Vec::new() }
    }
}

/// Distillation as an objective: draws what is random, and follows the fusion schedule.
pub struct Distillation<'a> {
    trajectories: Option<Trajectories>,
    stages: Vec<Stage>,
    networks: Networks<'a>,
    fuse_schedule: FuseSchedule,
    w_interval: (f64, f64),
}

impl<'a> Distillation<'a> {
    /// Distillation as `cfg` has it.
    /// - `schedule`: what the teacher was trained with
    ///
    /// # Errors
    /// As [`DistillLoss::new`], and for a `solver_steps_start` or a `trajectory` that is not allowed.
    pub fn new(
        cfg: &DistillConfig,
        schedule: NoiseSchedule,
        labels: LabelSpace,
        networks: Networks<'a>,
    ) -> Result<Self> {
        cfg.validate()?;
        let last = cfg.student.num_ddim_timesteps;
        let solver_steps = match cfg.solver_steps_start {
            Some(first) => doubling_solver_steps(schedule.train_timesteps(), first, last)?,
            None => vec![last],
        };
        let stage = |num_ddim_timesteps| -> Result<Stage> {
            let cfg = DistillConfig {
                student: StudentConfig { num_ddim_timesteps, ..cfg.student.clone() },
                ..cfg.clone()
            };
            let loss = DistillLoss::new(&cfg, schedule.clone(), labels.null_labels.to_vec())?;
            let points = cfg.student.points(loss.grid())?.len();
            Ok(Stage { steps: StepDraws::new(cfg.timestep_sampling, loss.grid(), points), loss })
        };
        let stages: Vec<Stage> = solver_steps.into_iter().map(stage).collect::<Result<_>>()?;
        let trajectories = match stages.last() {
            Some(Stage { loss, .. }) if cfg.trajectory.steps > 0 => {
                let points = cfg.student.points(loss.grid())?;
                let guidance = Guidance::new(&cfg.guidance, &labels.null_labels)?;
                let w_interval = cfg.student.w_interval;
                Some(Trajectories::new(
                    &cfg.trajectory,
                    schedule,
                    points,
                    guidance,
                    w_interval,
                    labels.combinations,
                )?)
            }
            _ => None,
        };
        Ok(Self {
            trajectories,
            stages,
            networks,
            fuse_schedule: cfg.fuse_schedule.clone(),
            w_interval: cfg.student.w_interval,
        })
    }

    /// The stage at `progress` in `(0, 1]`.
    fn stage(&self, progress: f64) -> &Stage {
        let begun = (progress * self.stages.len() as f64).ceil() as usize;
        &self.stages[begun.clamp(1, self.stages.len()) - 1]
    }

    /// One solver step, noise and guidance weight per image.
    fn draw(
        &self,
        steps: &StepDraws,
        batch: &TrainBatch,
        draws: &Draws,
    ) -> candle_core::Result<DistillInputs> {
        Ok(DistillInputs {
            x_0: batch.x_0.clone(),
            labels: batch.labels.clone(),
            index: steps.draw(draws)?,
            eps: draws.normal("eps", batch.image_shape())?.to_device(batch.x_0.device())?,
            w: draws.uniform("w", &[], self.w_interval)?,
        })
    }
}

impl Objective for Distillation<'_> {
    fn trained_name(&self) -> &'static str {
        "student"
    }

    fn terms(&self) -> &'static [&'static str] {
        &["teacher_part", "data_part"]
    }

    fn evaluate(&self, batch: &TrainBatch, draws: &Draws, progress: f64) -> Result<Evaluation> {
        let Stage { loss, steps } = self.stage(progress);
        let Networks { student, target, teacher } = self.networks;
        let student = Metered::new("student", student);
        let target = Metered::new("target", target);
        let teacher = Metered::new("teacher", teacher);
        let work = || [teacher.reading(), student.reading(), target.reading()].into_iter().collect();
        if let Some(trajectories) = self.trajectories.as_ref().filter(|all| all.serve(draws)) {
            let points = trajectories.points(&teacher, draws, batch.image_shape(), batch.x_0.device())?;
            let loss = loss.to_ends(&student, &points, draws)?;
            return Ok(Evaluation::new(loss, work()));
        }
        let inputs = self.draw(steps, batch, draws)?;
        let c_t = self.fuse_schedule.weight(progress);
        let metered = Networks { student: &student, target: &target, teacher: &teacher };
        let parts = loss.evaluate(&metered, &inputs, c_t, draws)?;
        Ok(Evaluation::new(parts.total, work())
            .with_term("teacher_part", parts.teacher_part)
            .with_term("data_part", parts.data_part)
            .with_c_t(c_t))
    }
}
