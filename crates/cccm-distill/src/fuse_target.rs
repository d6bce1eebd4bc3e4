//! What the student is regressed to, as settings name it.

use serde::{Deserialize, Serialize};

use crate::choice::choice;

/// How the teacher's point and the real-data point become one target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FuseMethod {
    /// Mixes the points: one target evaluation, at `x_hat`.
    StepFuse,
    /// Mixes the losses of `x_hat` and of the real-data point.
    #[default]
    LossFuse,
    /// The teacher alone, then real data alone: [`Self::LossFuse`] under
    /// [`FuseSchedule::Switch`](cccm_sched::FuseSchedule::Switch), where every method is the same.
    Switch,
}

choice!(FuseMethod, "fuse method", "stepfuse" => StepFuse, "lossfuse" => LossFuse, "switch" => Switch);

/// The real-data point: where a solver step ends if it uses the true image and noise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DataTarget {
    /// The image with the same noise at the step's end, whatever the guidance weight: the student is told a
    /// weight, but this target shows it an unguided answer.
    #[default]
    Published,
    /// The teacher's guided step with the true noise and image in place of its conditional prediction. With
    /// `d_eps = w (eps_cond - eps_uncond)` and `d_x0 = w (x0_cond - x0_uncond)`, both at the step's start, it is
    /// `sqrt(alpha_bar_prev) (x_0 + d_x0) + sqrt(1 - alpha_bar_prev) (eps + d_eps)`: [`Self::Published`] where w is 0.
    /// Needs both evaluations of the teacher at every `c_t`.
    Guided,
}

choice!(DataTarget, "real-data target", "published" => Published, "guided" => Guided);

/// How the teacher's point is found: one step of a solver for the probability-flow ODE, `dx̄/dσ = eps` in terms of
/// `x̄ = x / sqrt(alpha_bar)` and `σ = sqrt((1 - alpha_bar) / alpha_bar)`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TeacherSolver {
    /// A DDIM step, of first order: along the guided noise where the step starts.
    #[default]
    Ddim,
    /// Heun's step, of second order: along the mean of the guided noise at the start and at the end of the
    /// DDIM step (Karras et al. 2022, algorithm 1). Needs both evaluations of the teacher twice. A guided
    /// real-data point is still guided by the evaluations at the start only.
    Heun,
}

choice!(TeacherSolver, "solver", "ddim" => Ddim, "heun" => Heun);

/// The point `x_hat` behind the teacher's share of the loss.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HatTarget {
    /// `c_t x_teacher + (1 - c_t) x_ode`, so that `LossFuse` counts real data twice.
    #[default]
    Mixed,
    /// `x_teacher` alone; with [`FuseMethod::StepFuse`], whose only point is `x_hat`, no real data would be left.
    Teacher,
}

choice!(HatTarget, "teacher point", "mixed" => Mixed, "teacher" => Teacher);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip() {
        for method in [FuseMethod::StepFuse, FuseMethod::LossFuse, FuseMethod::Switch] {
            assert_eq!(method.to_string().parse::<FuseMethod>().unwrap(), method);
            assert_eq!(serde_json::to_value(method).unwrap(), method.to_string());
        }
        for target in [DataTarget::Published, DataTarget::Guided] {
            assert_eq!(target.to_string().parse::<DataTarget>().unwrap(), target);
            assert_eq!(serde_json::to_value(target).unwrap(), target.to_string());
        }
        for target in [HatTarget::Mixed, HatTarget::Teacher] {
            assert_eq!(target.to_string().parse::<HatTarget>().unwrap(), target);
            assert_eq!(serde_json::to_value(target).unwrap(), target.to_string());
        }
        for solver in [TeacherSolver::Ddim, TeacherSolver::Heun] {
            assert_eq!(solver.to_string().parse::<TeacherSolver>().unwrap(), solver);
            assert_eq!(serde_json::to_value(solver).unwrap(), solver.to_string());
        }
        let error = "step_fuse".parse::<FuseMethod>().unwrap_err().to_string();
        assert_eq!(error, "no fuse method `step_fuse`; there are stepfuse, lossfuse, switch");
    }
}
