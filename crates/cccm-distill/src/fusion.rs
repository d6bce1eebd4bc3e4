//! The distillation loss: what the student should answer, fused from teacher and real data.

use candle_core::{DType, Tensor};
use cccm_sched::{Boundary, Conditions, Denoiser, Draws, Guidance, NoiseSchedule, SolverGrid};

use crate::config::DistillConfig;
use crate::fuse_target::{FuseMethod, HatTarget};
use crate::loss::Distance;
use crate::points::{DistillInputs, Points, SolverStep, like};
use crate::trajectory::TrajectoryPoints;
use crate::{Error, Result};

/// The networks of a distillation. Gradients flow through the student alone, whatever the others are made of.
#[derive(Clone, Copy)]
pub struct Networks<'a> {
    /// The network in training, evaluated by [`Denoiser::predict_training`], with dropout; takes labels and
    /// `w`.
    pub student: &'a dyn Denoiser,
    /// Moving average of the student; takes labels and `w`.
    pub target: &'a dyn Denoiser,
    /// Frozen; takes labels, including null tokens.
    pub teacher: &'a dyn Denoiser,
}

/// The loss and what it was computed from.
///
/// Tensors are `(batch, channels, height, width)` where not said otherwise; only `total` and `online` carry a graph.
#[derive(Clone, Debug)]
pub struct DistillParts {
    /// The loss: a scalar, `f32`.
    pub total: Tensor,
    /// The teacher's share of `total`, weight included: a scalar. Present where losses are mixed and `c_t > 0`.
    pub teacher_part: Option<Tensor>,
    /// Real data's share of `total`, weight included: a scalar. Present where losses are mixed and `c_t < 1`.
    pub data_part: Option<Tensor>,
    /// The student's consistency function at `x_start`.
    pub online: Tensor,
    /// The images noised to where the solver step starts.
    pub x_start: Tensor,
    /// The same images and noise where the step ends, the diffusion-formulated point ("ODE" in flags); guided if
    /// [`DataTarget`](crate::DataTarget) says so.
    pub x_ode: Tensor,
    /// Where the guided teacher's solver step ends; absent at `c_t = 0`.
    pub x_teacher: Option<Tensor>,
    /// `c_t x_teacher + (1 - c_t) x_ode`, or what else [`HatTarget`] says; `x_ode` at `c_t = 0`.
    pub x_hat: Tensor,
}

/// The distillation loss of one step (compositional consistency distillation, after Luo et al. 2023, algorithm 1).
///
/// With `f` the boundary-scaled estimate of `x_0` and one solver step from `t_start` down to `t_end`:
///
/// | method | loss |
/// | --- | --- |
/// | `StepFuse` | `d(f_student(x_start), f_target(x_hat))` |
/// | `LossFuse` | `c_t d(f_student(x_start), f_target(x_hat)) + (1 - c_t) d(f_student(x_start), f_target(x_ode))` |
///
/// A network whose answer has weight 0 is not evaluated. At timesteps up to [`DistillConfig::data_below`],
/// `x_0` stands in for both answers of the target.
#[derive(Clone, Debug)]
pub struct DistillLoss {
    step: SolverStep,
    /// The teacher's schedule with the student's prediction type.
    student_schedule: NoiseSchedule,
    boundary: Boundary,
    method: FuseMethod,
    hat_target: HatTarget,
    data_below: Option<u32>,
    distance: Distance,
}

impl DistillLoss {
    /// The loss of `cfg` over the teacher's noise schedule.
    /// - `null_labels`: per label kind the null token, which is its number of labels
    ///
    /// # Errors
    /// [`Error::InvalidConfig`] or [`Error::Sched`] for a value out of range, such as more solver steps than the
    /// schedule has timesteps.
    pub fn new(cfg: &DistillConfig, schedule: NoiseSchedule, null_labels: Vec<u32>) -> Result<Self> {
        cfg.validate()?;
        let prediction = cfg.student_prediction.unwrap_or(schedule.prediction_type());
        Ok(Self {
            student_schedule: schedule.clone().predicting(prediction),
            step: SolverStep {
                grid: SolverGrid::new(&schedule, cfg.student.num_ddim_timesteps)?,
                schedule,
                solver: cfg.teacher_solver,
                data_target: cfg.data_target,
                guidance: Guidance::new(&cfg.guidance, &null_labels)?,
            },
            boundary: cfg.student.boundary()?,
            method: cfg.fuse_method,
            hat_target: cfg.hat_target,
            data_below: cfg.data_below,
            distance: cfg.distance(),
        })
    }

    /// The solver's grid.
    pub(crate) fn grid(&self) -> &SolverGrid {
        &self.step.grid
    }

    /// Number of solver steps: [`DistillInputs::index`] lies below it.
    pub fn solver_steps(&self) -> usize {
        self.step.grid.solver_steps()
    }

    /// The loss of one batch at the teacher's share `c_t`, in `[0, 1]`.
    /// - `draws`: of the student's dropout
    ///
    /// # Errors
    /// [`Error::InvalidConfig`] for `c_t` outside its range, [`Error::Sched`] for an index outside the grid,
    /// [`Error::Candle`] when shapes differ or a network fails.
    pub fn evaluate(
        &self,
        networks: &Networks<'_>,
        inputs: &DistillInputs,
        c_t: f64,
        draws: &Draws,
    ) -> Result<DistillParts> {
        if !(0.0..=1.0).contains(&c_t) {
            return Err(Error::invalid("c_t", c_t, "at least 0 and at most 1"));
        }
        let x_0 = &inputs.x_0;
        let conds = Conditions::new(inputs.labels.clone()).with_w(inputs.w.clone());
        let Points { t_start, t_end, x_start, x_ode, x_teacher } =
            self.step.points(networks.teacher, inputs, c_t)?;
        let x_hat = self.hat(x_teacher.as_ref(), &x_ode, c_t)?;

        // The student comes last: its graph keeps all activations, and the temporary tensors of the other
        // networks should be freed before that.
        let (hat_weight, ode_weight) = match self.method {
            FuseMethod::StepFuse => (1.0, 0.0),
            FuseMethod::LossFuse | FuseMethod::Switch => (c_t, 1.0 - c_t),
        };
        let hat = (hat_weight > 0.0).then_some(&x_hat);
        let ode = (ode_weight > 0.0).then_some(&x_ode);
        let (y_hat, y_ode) = self.target_answers(networks.target, hat, ode, &t_end, &conds)?;
        let clean = |answer: Option<Tensor>| {
            answer.map(|answer| self.clean_at_low_noise(answer, x_0, &t_start)).transpose()
        };
        let (y_hat, y_ode) = (clean(y_hat)?, clean(y_ode)?);
        let online = self.student_answer(networks.student, &x_start, &t_start, &conds, draws)?;

        let term = |answer: Option<Tensor>, weight: f64| {
            let weighted = |y: Tensor| self.distance.between(&online, &y)?.affine(weight, 0.0);
            answer.map(weighted).transpose()
        };
        let (hat_term, ode_term) = (term(y_hat, hat_weight)?, term(y_ode, ode_weight)?);
        let zero = Tensor::zeros((), DType::F32, x_0.device())?;
        let total = [&hat_term, &ode_term].into_iter().flatten().try_fold(zero, |sum, term| sum + term)?;
        let mixes_losses = self.method != FuseMethod::StepFuse;
        let teacher_part = hat_term.filter(|_| mixes_losses).map(|term| term.detach());
        let data_part = ode_term.map(|term| term.detach());
        Ok(DistillParts { total, teacher_part, data_part, online, x_start, x_ode, x_teacher, x_hat })
    }

    /// The point behind the teacher's share of the loss.
    fn hat(&self, x_teacher: Option<&Tensor>, x_ode: &Tensor, c_t: f64) -> candle_core::Result<Tensor> {
        match (x_teacher, self.hat_target) {
            (None, _) => Ok(x_ode.clone()),
            (Some(x_teacher), HatTarget::Teacher) => Ok(x_teacher.clone()),
            (Some(x_teacher), HatTarget::Mixed) => (x_teacher * c_t)? + (x_ode * (1.0 - c_t))?,
        }
    }

    /// The target's consistency function at the points that are given, without a graph. Two points are
    /// evaluated as one batch.
    fn target_answers(
        &self,
        target: &dyn Denoiser,
        hat: Option<&Tensor>,
        ode: Option<&Tensor>,
        t_end: &Tensor,
        conds: &Conditions,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let (Some(hat), Some(ode)) = (hat, ode) else {
            let answer = |x: &Tensor| self.target_answer(target, x, t_end, conds);
            return Ok((hat.map(answer).transpose()?, ode.map(answer).transpose()?));
        };
        let (x, t) = (Tensor::cat(&[hat, ode], 0)?, Tensor::cat(&[t_end, t_end], 0)?);
        let both = self.target_answer(target, &x, &t, &conds.cat(conds)?)?;
        let batch = hat.dim(0)?;
        Ok((Some(both.narrow(0, 0, batch)?), Some(both.narrow(0, batch, batch)?)))
    }

    /// The images themselves in place of the target's answers, for samples whose timestep is not above
    /// [`DistillConfig::data_below`].
    fn clean_at_low_noise(&self, answer: Tensor, x_0: &Tensor, t: &Tensor) -> candle_core::Result<Tensor> {
        let Some(highest) = self.data_below else { return Ok(answer) };
        let low = t.le(highest)?.to_device(x_0.device())?.reshape(((), 1, 1, 1))?;
        low.broadcast_as(x_0.shape())?.where_cond(&like(x_0, &answer)?, &answer)
    }

    /// The distance of the student's answers from the ends of trajectories: a scalar, `f32`.
    /// - `draws`: of the student's dropout
    pub(crate) fn to_ends(
        &self,
        student: &dyn Denoiser,
        points: &TrajectoryPoints,
        draws: &Draws,
    ) -> Result<Tensor> {
        let conds = Conditions::new(points.labels.clone()).with_w(points.w.clone());
        let answer = self.student_answer(student, &points.x_t, &points.t, &conds, draws)?;
        Ok(self.distance.between(&answer, &points.end)?)
    }

    /// The student's consistency function, as in training.
    fn student_answer(
        &self,
        student: &dyn Denoiser,
        x_t: &Tensor,
        t: &Tensor,
        conds: &Conditions,
        draws: &Draws,
    ) -> Result<Tensor> {
        let prediction = student.predict_training(x_t, &t.to_device(x_t.device())?, conds, draws)?;
        self.consistency(x_t, t, &prediction)
    }

    /// The target's consistency function, without a graph.
    fn target_answer(
        &self,
        target: &dyn Denoiser,
        x_t: &Tensor,
        t: &Tensor,
        conds: &Conditions,
    ) -> Result<Tensor> {
        let prediction = target.predict(x_t, &t.to_device(x_t.device())?, conds)?;
        Ok(self.consistency(x_t, t, &prediction)?.detach())
    }

    /// The boundary-scaled estimate of `x_0`: `f(x, t) = c_skip x + c_out x0_pred`.
    fn consistency(&self, x_t: &Tensor, t: &Tensor, prediction: &Tensor) -> Result<Tensor> {
        let x0_pred = self.student_schedule.x0_from_prediction(x_t, t, &like(prediction, x_t)?)?;
        Ok(self.boundary.apply(x_t, t, &x0_pred)?)
    }
}
