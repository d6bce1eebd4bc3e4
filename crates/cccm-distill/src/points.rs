//! The two candidates for the point one solver step earlier: by the teacher, and by real data.

use candle_core::Tensor;
use cccm_sched::{Denoiser, Guidance, NoiseSchedule, SolverGrid, Thresholding};

use crate::Result;
use crate::fuse_target::{DataTarget, TeacherSolver};

/// Images and everything random about one evaluation of the loss.
#[derive(Clone, Debug)]
pub struct DistillInputs {
    /// Clean images `(batch, channels, height, width)`, float, spanning `[-1, 1]`.
    pub x_0: Tensor,
    /// Per label kind `(batch,)` `u32` indices, on the device of the images.
    pub labels: Vec<Tensor>,
    /// Place in the solver grid where each sample's step starts: `(batch,)`, `u32`, each in `0..K`. Read on the CPU.
    pub index: Tensor,
    /// Standard normal noise, like `x_0`.
    pub eps: Tensor,
    /// Guidance weights `(batch,)`, `f32`, as papers count them: 0 is none.
    pub w: Tensor,
}

/// One step of the solver.
#[derive(Clone, Debug)]
pub(crate) struct SolverStep {
    pub(crate) schedule: NoiseSchedule,
    pub(crate) grid: SolverGrid,
    pub(crate) solver: TeacherSolver,
    pub(crate) data_target: DataTarget,
    pub(crate) guidance: Guidance,
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
                x_ode = self.guided_data(inputs, (&x_start, &t_start), x_ode, &answer)?;
            }
            if c_t > 0.0 {
                let (eps, x_0) = self.guided(&x_start, &t_start, answer)?;
                let end = self.grid.step(index, &x_0, &eps)?;
                x_teacher = Some(match self.solver {
                    TeacherSolver::Ddim => end,
                    TeacherSolver::Heun => {
                        let (eps_there, _) =
                            self.guided(&end, &t_end, self.ask(teacher, &end, &t_end, inputs)?)?;
                        let eps = ((eps + eps_there)? * 0.5)?;
                        let x_0 = self.schedule.x0_from_eps(&x_start, &t_start, &eps)?;
                        // In terms of x̄ and σ, a DDIM step is an Euler step, and a Heun step is an Euler
                        // step along the mean noise.
                        self.grid.step(index, &x_0, &eps)?
                    }
                });
            }
        }
        Ok(Points { t_start, t_end, x_start, x_ode, x_teacher })
    }

    /// The real-data point that guidance has moved.
    /// - `x_ode`: the point without guidance
    fn guided_data(
        &self,
        DistillInputs { x_0, index, .. }: &DistillInputs,
        (x_start, t_start): (&Tensor, &Tensor),
        x_ode: Tensor,
        answer: &Answer,
    ) -> Result<Tensor> {
        if self.guidance.thresholding() == Thresholding::None {
            // A step is linear in image and noise, and with the true image and noise it ends at the unguided
            // point.
            return Ok((x_ode + self.grid.step(index, &answer.x0_shift, &answer.eps_shift)?)?);
        }
        let x_0 = self.guidance.thresholding().apply(&(x_0 + &answer.x0_shift)?)?;
        let eps = self.schedule.eps_from_x0(x_start, t_start, &x_0)?;
        Ok(self.grid.step(index, &x_0, &eps)?)
    }

    /// The teacher's guided noise and clean image.
    fn guided(&self, x: &Tensor, t: &Tensor, answer: Answer) -> Result<(Tensor, Tensor)> {
        // The guided image could be computed from the guided noise, but with other rounding. This is the
        // published way.
        let (eps, x_0) = ((answer.eps + answer.eps_shift)?, (answer.x_0 + answer.x0_shift)?);
        if self.guidance.thresholding() == Thresholding::None {
            return Ok((eps, x_0));
        }
        let x_0 = self.guidance.thresholding().apply(&x_0)?;
        Ok((self.schedule.eps_from_x0(x, t, &x_0)?, x_0))
    }

    /// The teacher at one point, without a graph.
    fn ask(&self, teacher: &dyn Denoiser, x: &Tensor, t: &Tensor, inputs: &DistillInputs) -> Result<Answer> {
        let answers =
            self.guidance.ask(teacher, x, t, &inputs.labels, &inputs.w)?.map(|answer| like(answer, x))?;
        let eps = answers.map(|prediction| self.schedule.eps_from_prediction(x, t, prediction))?;
        let x_0 = answers.map(|prediction| self.schedule.x0_from_prediction(x, t, prediction))?;
        Ok(Answer {
            eps_shift: eps.shift()?,
            x0_shift: x_0.shift()?,
            eps: eps.conditional().clone(),
            x_0: x_0.conditional().clone(),
        })
    }
}

/// A network's answer in the dtype of the images: it may compute in half precision, this arithmetic does not.
pub(crate) fn like(prediction: &Tensor, x_t: &Tensor) -> candle_core::Result<Tensor> {
    prediction.to_dtype(x_t.dtype())
}
