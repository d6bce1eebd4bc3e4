//! Distilling a teacher into a student: settings, and the loss as a trainer sees it.

use cccm_sched::{
    Draws, FuseSchedule, Guidance, GuidanceConfig, NoiseSchedule, PredictionType, StudentConfig,
    doubling_solver_steps,
};
use serde::{Deserialize, Serialize};

use crate::objective::Metered;
use crate::timesteps::StepDraws;
use crate::trajectory::Trajectories;
use crate::{
    DataTarget, Distance, DistillInputs, DistillLoss, Error, Evaluation, FuseMethod, HatTarget, LossType,
    Networks, Objective, Result, TeacherSolver, TimestepSampling, TrainBatch, TrajectoryConfig, Work,
};

/// Settings of a distillation; the defaults are those of the published runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DistillConfig {
    /// How teacher and real data are fused. Default `lossfuse`.
    pub fuse_method: FuseMethod,
    /// The teacher's share `c_t` over training; with method `switch` a `switch` schedule. Default `piecewise 1:0`:
    /// published is `piecewise` without knots, which crashes there.
    pub fuse_schedule: FuseSchedule,
    /// How the teacher's point is found. Default `ddim`, as published.
    pub teacher_solver: TeacherSolver,
    /// Which way the teacher is guided, and what is done to its clean images; the guided real-data point follows. Default as
    /// published.
    pub guidance: GuidanceConfig,
    /// The real-data point. Default `published`.
    pub data_target: DataTarget,
    /// The point behind the teacher's share of the loss. Default `mixed`, as published.
    pub hat_target: HatTarget,
    /// How the solver step of each sample is drawn. Default `uniform`, as published.
    pub timestep_sampling: TimestepSampling,
    /// Highest timestep at which the target is the image itself, whatever teacher and target network say. At low noise the
    /// image is nearly known, so that its mean over what it may be is as sharp as it is, and free of the grain that a teacher
    /// leaves; higher noise learns from there, step by step (consistency trajectory models add such a term at all noise
    /// levels: Kim et al. 2024). Default none, as published.
    pub data_below: Option<u32>,
    /// Solver steps at the start of training, doubled up to `student.num_ddim_timesteps` in equal shares of the run: long
    /// jumps first, which carry the target's answer from the image to the noise in few steps (Song & Dhariwal 2023,
    /// section 3.4). Allowed is what [`doubling_solver_steps`] allows. Default none: the same from start to end, as published.
    pub solver_steps_start: Option<usize>,
    /// Distance between student and target. Default `huber`.
    pub loss_type: LossType,
    /// Where the Huber distances turn from square to linear, above 0: of one value for `huber`, of a sample per square
    /// root of its number of values for `sample_huber`. Default 0.001, the usual one for `huber`; see
    /// [`LossType::usual_huber_c`].
    pub huber_c: f64,
    /// What stays of the target network at every step, in `[0, 1]`. Default 0.95.
    pub ema_decay: f64,
    /// What stays, in `[0, 1]`, of a second average that is sampled instead of the target, as
    /// [`MovingAverage::sampling`](crate::MovingAverage::sampling) has it. Default none: the target is sampled, as published.
    pub sampling_ema_decay: Option<f64>,
    /// A first stage on trajectories of the teacher, which changes the student over where its output means something else than
    /// the teacher's. Default none.
    pub trajectory: TrajectoryConfig,
    /// What the student's output means. At high noise the image behind a noise prediction has its error many times magnified
    /// (25 times at timestep 799 of the usual schedule), that behind a clean image or a velocity has not. Default that of the
    /// teacher, as published.
    pub student_prediction: Option<PredictionType>,
    /// What the student is trained for, and must be told when it samples.
    pub student: StudentConfig,
}

impl Default for DistillConfig {
    fn default() -> Self {
        Self {
            fuse_method: FuseMethod::LossFuse,
            fuse_schedule: FuseSchedule::default(),
            teacher_solver: TeacherSolver::Ddim,
            guidance: GuidanceConfig::default(),
            data_target: DataTarget::Published,
            hat_target: HatTarget::Mixed,
            timestep_sampling: TimestepSampling::Uniform,
            data_below: None,
            solver_steps_start: None,
            loss_type: LossType::Huber,
            huber_c: 0.001,
            ema_decay: 0.95,
            sampling_ema_decay: None,
            trajectory: TrajectoryConfig::default(),
            student_prediction: None,
            student: StudentConfig::default(),
        }
    }
}

impl DistillConfig {
    /// Checks every field.
    ///
    /// # Errors
    /// [`Error::InvalidConfig`], or that of [`StudentConfig::validate`], for the first value out of range.
    pub fn validate(&self) -> Result<()> {
        if self.fuse_method == FuseMethod::Switch && !matches!(self.fuse_schedule, FuseSchedule::Switch(_)) {
            let want = "`switch` and a progress, as in `switch 0.4`, when `fuse_method` is switch";
            return Err(Error::invalid("fuse_schedule", format!("`{}`", self.fuse_schedule), want));
        }
        if self.fuse_method == FuseMethod::StepFuse && self.hat_target == HatTarget::Teacher {
            let want = "mixed when `fuse_method` is stepfuse, which has real data in no other point";
            return Err(Error::invalid("hat_target", self.hat_target, want));
        }
        if !(self.huber_c > 0.0 && self.huber_c.is_finite()) {
            return Err(Error::invalid("huber_c", self.huber_c, "a finite number above 0"));
        }
        check_ema_decay(self.ema_decay)?;
        if let Some(decay) = self.sampling_ema_decay.filter(|decay| !(0.0..=1.0).contains(decay)) {
            return Err(Error::invalid("sampling_ema_decay", decay, "at least 0 and at most 1"));
        }
        self.guidance.validate()?;
        Ok(self.student.validate()?)
    }

    /// The distance that `loss_type` and `huber_c` name.
    pub fn distance(&self) -> Distance {
        match self.loss_type {
            LossType::Huber => Distance::Huber { c: self.huber_c },
            LossType::SampleHuber => Distance::SampleHuber { c_per_root_dim: self.huber_c },
            LossType::L2 => Distance::L2,
        }
    }
}

pub(crate) fn check_ema_decay(decay: f64) -> Result<()> {
    if !(0.0..=1.0).contains(&decay) {
        return Err(Error::invalid("ema_decay", decay, "at least 0 and at most 1"));
    }
    Ok(())
}

/// A share of training with one grid.
struct Stage {
    loss: DistillLoss,
    steps: StepDraws,
}

/// The labels that a teacher knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelSpace {
    /// Per label kind the null token, which is its number of labels.
    pub null_labels: Vec<u32>,
    /// The combinations that trajectories are made for, one label index per kind each; none where there are no trajectories.
    pub combinations: Vec<Vec<u32>>,
}

impl LabelSpace {
    /// Labels of a distillation without trajectories.
    /// - `null_labels`: as the field
    pub fn new(null_labels: &[u32]) -> Self {
        Self { null_labels: null_labels.to_vec(), combinations: Vec::new() }
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
            let loss = DistillLoss::new(&cfg, schedule.clone(), labels.null_labels.clone())?;
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

    fn evaluate(&self, batch: &TrainBatch, draws: &Draws, progress: f64) -> Result<Evaluation> {
        let Stage { loss, steps } = self.stage(progress);
        let Networks { student, target, teacher } = self.networks;
        let (student, target, teacher) = (Metered::new(student), Metered::new(target), Metered::new(teacher));
        if let Some(trajectories) = self.trajectories.as_ref().filter(|all| all.serve(draws)) {
            let points = trajectories.points(&teacher, draws, batch.image_shape(), batch.x_0.device())?;
            let loss = loss.to_ends(&student, &points)?;
            let work = Work { teacher: teacher.reading(), student: student.reading(), ..Work::default() };
            return Ok(Evaluation { loss, teacher_part: None, data_part: None, c_t: None, work });
        }
        let inputs = self.draw(steps, batch, draws)?;
        let c_t = self.fuse_schedule.weight(progress);
        let metered = Networks { student: &student, target: &target, teacher: &teacher };
        let parts = loss.evaluate(&metered, &inputs, c_t)?;
        Ok(Evaluation {
            loss: parts.total,
            teacher_part: parts.teacher_part,
            data_part: parts.data_part,
            c_t: Some(c_t),
            work: Work { teacher: teacher.reading(), student: student.reading(), target: target.reading() },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn configs_survive_json() {
        DistillConfig::default().validate().unwrap();
        let cfg = DistillConfig {
            fuse_method: FuseMethod::Switch,
            fuse_schedule: FuseSchedule::Switch(0.4),
            teacher_solver: TeacherSolver::Heun,
            data_target: DataTarget::Guided,
            hat_target: HatTarget::Teacher,
            loss_type: LossType::L2,
            ..Default::default()
        };
        cfg.validate().unwrap();
        let text = serde_json::to_string(&cfg).unwrap();
        assert!(
            text.contains(r#""fuse_method":"switch","fuse_schedule":"switch 0.4","teacher_solver":"heun""#),
            "{text}"
        );
        assert_eq!(serde_json::from_str::<DistillConfig>(&text).unwrap(), cfg);
    }

    #[test]
    fn bad_values_are_named() {
        let bad = |cfg: DistillConfig, name: &str| match cfg.validate() {
            Err(Error::InvalidConfig { field, .. }) => assert_eq!(field, name),
            other => panic!("{other:?}"),
        };
        bad(DistillConfig { fuse_method: FuseMethod::Switch, ..Default::default() }, "fuse_schedule");
        let no_data = DistillConfig {
            fuse_method: FuseMethod::StepFuse,
            hat_target: HatTarget::Teacher,
            ..Default::default()
        };
        bad(no_data, "hat_target");
        bad(DistillConfig { huber_c: 0.0, ..Default::default() }, "huber_c");
        bad(DistillConfig { ema_decay: 1.5, ..Default::default() }, "ema_decay");
        bad(DistillConfig { sampling_ema_decay: Some(-0.1), ..Default::default() }, "sampling_ema_decay");
        let student = StudentConfig { num_ddim_timesteps: 0, ..Default::default() };
        assert!(matches!(DistillConfig { student, ..Default::default() }.validate(), Err(Error::Sched(_))));
    }
}
