//! What users type.

mod flags;
mod hints;
mod judge;
mod labels;
mod launch;
pub(crate) mod python;

pub(crate) use flags::{Flags, RunFlags, dtype};
pub(crate) use hints::{HintArgs, with_hint};
pub(crate) use judge::JudgeArgs;
pub(crate) use labels::LabelArgs;
pub(crate) use launch::LaunchArgs;
