//! The two candidates for the point one solver step earlier: by the teacher, and by real data.

use candle_core::Tensor;
use cccm_sched::{Conditions, Denoiser, NoiseSchedule, SolverGrid, guidance_shift, predict_pair};

use crate::{DataTarget, DistillInputs, Result, TeacherSolver};

/// One step of the solver.
#[derive(Clone, Debug)]
pub(crate) struct SolverStep {
    pub(crate) schedule: NoiseSchedule,
    pub(crate) grid: SolverGrid,
    pub(crate) solver: TeacherSolver,
    pub(crate) data_target: DataTarget,
    pub(crate) null_labels: Vec<u32>,
}

/// Where a step starts, and where it may end; images `(batch, channels, height, width)`, without a graph.
pub(crate) struct Points {
    /// `(batch,)`, `u32`, on the device of the index.
    pub(crate) t_start: Tensor,
    /// `(batch,)`, `u32`, on the device of the index.
    pub(crate) t_end: Tensor,
    pub(crate) x_start: Tensor,
    /// By real data.
    pub(crate) x_ode: Tensor,
    /// By the teacher.
    pub(crate) x_teacher: Option<Tensor>,
}

/// The teacher's conditional answer, and what guidance adds to it.
struct Answer {
    eps: Tensor,
    x_0: Tensor,
    eps_shift: Tensor,
    x0_shift: Tensor,
}

impl SolverStep {
    /// The points of one batch at the teacher's share `c_t`. The teacher is asked only if some point depends on it.
    pub(crate) fn points(&self, teacher: &dyn Denoiser, inputs: &DistillInputs, c_t: f64) -> Result<Points> {
        let DistillInputs { x_0, eps, index, .. } = inputs;
        let (t_start, t_end) = self.grid.start_and_end(index)?;
        let x_start = self.schedule.add_noise(x_0, &t_start, eps)?.detach();
        let mut x_ode = self.schedule.add_noise(x_0, &t_end, eps)?.detach();
        let mut x_teacher = None;
        let data_are_guided = self.data_target == DataTarget::Guided;
        if c_t > 0.0 || data_are_guided {
            let answer = self.ask(teacher, &x_start, &t_start, inputs)?;
            if data_are_guided {
                // A step is linear in image and noise, and the one from the true ones ends at the unguided point.
                x_ode = (x_ode + self.grid.step(index, &answer.x0_shift, &answer.eps_shift)?)?;
            }
            if c_t > 0.0 {
                // The guided noise implies the guided image, but rounds otherwise: this is the published order.
                let (eps, x_0) = ((answer.eps + answer.eps_shift)?, (answer.x_0 + answer.x0_shift)?);
                let end = self.grid.step(index, &x_0, &eps)?;
                x_teacher = Some(match self.solver {
                    TeacherSolver::Ddim => end,
                    TeacherSolver::Heun => {
                        let there = self.ask(teacher, &end, &t_end, inputs)?;
                        let eps = ((eps + (there.eps + there.eps_shift)?)? * 0.5)?;
                        let x_0 = self.schedule.x0_from_eps(&x_start, &t_start, &eps)?;
                        // In terms of x̄ and σ a DDIM step is Euler's, and Heun's is one along the mean noise.
                        self.grid.step(index, &x_0, &eps)?
                    }
                });
            }
        }
        Ok(Points { t_start, t_end, x_start, x_ode, x_teacher })
    }

    /// The teacher at one point, without a graph.
    fn ask(&self, teacher: &dyn Denoiser, x: &Tensor, t: &Tensor, inputs: &DistillInputs) -> Result<Answer> {
        let conds = Conditions::new(inputs.labels.clone());
        let (cond, uncond) = predict_pair(teacher, x, &t.to_device(x.device())?, &conds, &self.null_labels)?;
        let (cond, uncond) = (like(&cond, x)?.detach(), like(&uncond, x)?.detach());
        let both = |from: &dyn Fn(&Tensor) -> cccm_sched::Result<Tensor>| -> Result<(Tensor, Tensor)> {
            let (cond, uncond) = (from(&cond)?, from(&uncond)?);
            let shift = guidance_shift(&cond, &uncond, &inputs.w)?;
            Ok((cond, shift))
        };
        let (eps, eps_shift) = both(&|prediction| self.schedule.eps_from_prediction(x, t, prediction))?;
        let (x_0, x0_shift) = both(&|prediction| self.schedule.x0_from_prediction(x, t, prediction))?;
        Ok(Answer { eps, x_0, eps_shift, x0_shift })
    }
}

/// A network's answer in the dtype of the images: it may compute in half precision, this arithmetic does not.
pub(crate) fn like(prediction: &Tensor, x_t: &Tensor) -> candle_core::Result<Tensor> {
    prediction.to_dtype(x_t.dtype())
}
