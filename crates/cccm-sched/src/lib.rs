#![doc = include_str!("../README.md")]

mod boundary;
mod convert;
mod ddim;
mod denoiser;
mod error;
mod fuse;
mod guidance;
mod random;
mod schedule;
mod student;

pub use boundary::Boundary;
pub use ddim::{SolverGrid, ddim_timesteps, doubling_solver_steps};
pub use denoiser::{Conditions, Denoiser, LabelKind};
pub use error::{Error, Result};
pub use fuse::{FuseClock, FuseSchedule};
pub use guidance::{guidance_embedding, guidance_shift, guided, predict_pair};
pub use random::{Draws, Streams};
pub use schedule::{BetaSchedule, NoiseSchedule, PredictionType, ScheduleConfig};
pub use student::StudentConfig;
