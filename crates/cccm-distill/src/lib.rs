#![doc = include_str!("../README.md")]

mod all_reduce;
mod averaging;
mod batch;
mod checkpoint;
mod choice;
mod distill;
mod error;
mod fuse_target;
mod fusion;
mod independence;
mod loss;
mod objective;
mod plan;
mod points;
mod report;
mod step;
mod teacher;
mod timesteps;
mod trainer;
mod trajectory;

pub use all_reduce::{AllReduce, Alone, Channel, Link, Pipe, Star};
pub use averaging::{Averaging, MovingAverage};
pub use batch::{Part, TrainBatch};
pub use checkpoint::{Checkpoint, CheckpointFolder, CheckpointWriter, TrainState};
pub use distill::{DistillConfig, Distillation, LabelSpace};
pub use error::{BoxError, Error, Result};
pub use fuse_target::{DataTarget, FuseMethod, HatTarget, TeacherSolver};
pub use fusion::{DistillInputs, DistillLoss, DistillParts, Networks};
pub use loss::{Distance, LossType};
pub use objective::{Evaluation, Forward, Objective, Work};
pub use plan::{OnNonFinite, Span, TrainConfig};
pub use report::{Ending, Reporter, StepReport};
pub use teacher::{TeacherConfig, TeacherTraining};
pub use timesteps::TimestepSampling;
pub use trainer::{Trainer, TrainerParts};
pub use trajectory::TrajectoryConfig;
