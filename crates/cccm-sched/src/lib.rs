#![doc = include_str!("../README.md")]

mod boundary;
mod convert;
mod ddim;
mod denoiser;
mod dpm_solver;
mod error;
mod fuse;
mod guidance;
mod random;
mod schedule;
mod student;
mod teacher_guidance;
mod thresholding;

pub use boundary::Boundary;
pub use ddim::{SolverGrid, ddim_timesteps, doubling_solver_steps};
pub use denoiser::{Conditions, Denoiser};
pub use dpm_solver::DpmSolver;
pub use error::{Error, Result};
pub use fuse::{FuseClock, FuseSchedule};
pub use guidance::{guidance_embedding, guidance_shift, guided, predict_pair};
pub use random::{Draws, Streams};
pub use schedule::{BetaSchedule, NoiseSchedule, PredictionType, ScheduleConfig};
pub use student::StudentConfig;
pub use teacher_guidance::{Guidance, GuidanceAnswers, GuidanceConfig};
pub use thresholding::Thresholding;
