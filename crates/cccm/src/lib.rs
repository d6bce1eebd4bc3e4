#![doc = include_str!("../README.md")]

mod batches;
mod builder;
mod data;
mod device;
mod distillation;
mod error;
mod hints;
#[cfg(feature = "hub")]
mod hub;
mod images;
mod matrix;
mod model;
mod phases;
mod places;
mod progress;
mod real_images;
mod sampling;
mod stages;
mod stop;
mod teacher;
mod team;
mod training;
mod watch;

pub use builder::{Distillation, Finished, Launch, Outcome, TeacherTraining, TrainedBy, TrainingRun};
pub use data::{TrainingImages, local_data};
pub use device::{open as open_device, use_threads};
pub use error::{Error, Result};
pub use hints::preset_hints;
#[cfg(feature = "hub")]
pub use hub::{PUBLISHED_REPO, assumed_hints, config_beside};
pub use images::Images;
pub use matrix::check_fits;
pub use model::{Model, SampleRequest};
pub use places::{BUILTIN_STUDENT, BUILTIN_TEACHER, file_at};
pub use progress::TrainingProgress;
pub use real_images::{data_of_run, open_real_images};
pub use sampling::{ChosenSampler, SamplerChoice};
pub use stop::Stop;
pub use team::{is_fault_of_another, rank_of_member};

pub use cccm_distill::StepReport;
pub use cccm_run::{GuidanceSettings, RunDir, Settings, TrainSettings, TrainTeacherSettings};
pub use cccm_scores::Progress;
