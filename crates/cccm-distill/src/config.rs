//! Settings of a distillation.

use cccm_sched::{FuseSchedule, GuidanceConfig, PredictionType, StudentConfig};
use serde::{Deserialize, Serialize};

use crate::averaging::check_ema_decay;
use crate::fuse_target::{DataTarget, FuseMethod, HatTarget, TeacherSolver};
use crate::loss::{Distance, LossType};
use crate::timesteps::TimestepSampling;
use crate::trajectory::TrajectoryConfig;
use crate::{Error, Result};

/// Settings of a distillation; the defaults are those of the published runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DistillConfig {
    /// How teacher and real data are fused. Default `lossfuse`.
    pub fuse_method: FuseMethod,
    /// The teacher's share `c_t` over training; with method `switch` a `switch` schedule. Default
    /// `piecewise 1:0`. The published default is `piecewise` without knots, with which the published script
    /// crashes.
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
    /// Highest timestep at which the target is the image itself, whatever the teacher and the target network
    /// predict. At low noise the image is nearly known, so the mean of all images that it may be is as sharp
    /// as the image, and free of the grain that a teacher leaves. What the student learns here spreads to
    /// higher noise step by step (consistency trajectory models add such a term at all noise levels: Kim et
    /// al. 2024). Default none, as published.
    pub data_below: Option<u32>,
    /// Solver steps at the start of training, doubled up to `student.num_ddim_timesteps` in equal shares of
    /// the run. Training begins with long jumps, which carry the target's answer from the image to the noise
    /// in few steps (Song & Dhariwal 2023, section 3.4).
    /// [`doubling_solver_steps`](cccm_sched::doubling_solver_steps) says which values are allowed. Default
    /// none: the same number from start to end, as published.
    pub solver_steps_start: Option<usize>,
    /// Distance between student and target. Default `huber`.
    pub loss_type: LossType,
    /// Where the Huber distances turn from square to linear, above 0: of one value for `huber`, of a sample per square
    /// root of its number of values for `sample_huber`. Default 0.001, the usual one for `huber`; see
    /// [`LossType::usual_huber_c`].
    pub huber_c: f64,
    /// Share of the target network that stays at every step, in `[0, 1]`. Default 0.95.
    pub ema_decay: f64,
    /// Share, in `[0, 1]`, that stays at every step of a second average, which is sampled instead of the
    /// target; see [`MovingAverage::sampling`](crate::MovingAverage::sampling). Default none: the target is
    /// sampled, as published.
    pub sampling_ema_decay: Option<f64>,
    /// A first stage on trajectories of the teacher. A student with another prediction type than its teacher
    /// needs it to change over. Default none.
    pub trajectory: TrajectoryConfig,
    /// What the student predicts. At high noise, the image computed from a noise prediction magnifies the
    /// prediction's error many times (25 times at timestep 799 of the usual schedule); predictions of the
    /// clean image or of the velocity do not have this problem. Default the teacher's prediction type, as
    /// published.
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
            let want = "mixed when `fuse_method` is stepfuse, which uses real data in this point only";
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
