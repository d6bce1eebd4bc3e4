//! The settings by groups: every one optional, so that flags, a file and a recipe can be laid over each other.

mod data;
mod distill;
mod guidance;
mod network;
mod optim;
mod run;
mod teacher;

pub use data::{DataSettings, DrawSettings, ImageSampling, ResizeBy, known_labels};
pub use distill::{DistillSettings, GuidanceStart, Recipe, TrajectoryPairs};
pub use guidance::GuidanceSettings;
pub use network::NetworkSettings;
pub use optim::OptimSettings;
pub use run::{Dtype, RunSettings};
pub use teacher::TeacherSettings;

use crate::setting::{Setting, SettingGroup};

/// Every setting that there is.
pub fn all_settings() -> impl Iterator<Item = &'static Setting> {
    let groups = [
        DistillSettings::SETTINGS,
        GuidanceSettings::SETTINGS,
        DataSettings::SETTINGS,
        DrawSettings::SETTINGS,
        NetworkSettings::SETTINGS,
        OptimSettings::SETTINGS,
        RunSettings::SETTINGS,
        TeacherSettings::SETTINGS,
    ];
    groups.into_iter().flatten()
}
