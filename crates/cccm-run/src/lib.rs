#![doc = include_str!("../README.md")]

pub mod shell;

mod card;
mod digest;
mod dir;
mod events;
mod file;
mod kinds;
mod layers;
mod metrics;
mod resume;
mod setting;
mod settings;
mod start;
mod whole;

pub use card::{model_card, stated_weights, training_facts};
pub use digest::of_model as digest_of_model;
pub use dir::{CONFIG, RunDir, config_before, plain, steps_of_change};
pub use events::{EventFile, png_size};
pub use file::{PROVENANCE, check_each, parse, read};
pub use kinds::{BUILTIN_DIGITS, Settings, TrainSettings, TrainTeacherSettings};
pub use layers::{bookkeeping, lay_over};
pub use metrics::{LastEval, MetricsFile, MetricsLock, images_per_sec};
pub use resume::{Changes, Part, Resumed, SETTINGS, digest_of};
pub use setting::{Effect, Negative, OnCard, Setting, SettingGroup, SettingValue, Values, required};
pub use settings::{
    DataSettings, DistillSettings, DrawSettings, Dtype, GuidanceSettings, GuidanceStart, ImageSampling,
    NetworkSettings, OptimSettings, Recipe, ResizeBy, RunSettings, TeacherSettings, TrajectoryPairs,
    all_settings, known_labels,
};
pub use start::{Start, beyond_recipe, resolve};
pub use whole::write_atomically;
