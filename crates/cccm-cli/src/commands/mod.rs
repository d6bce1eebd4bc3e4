//! One file per subcommand.

pub(crate) mod completions;
pub(crate) mod convert;
pub(crate) mod dataset;
pub(crate) mod doctor;
pub(crate) mod eval;
#[cfg(feature = "hub")]
pub(crate) mod fetch_teacher;
#[cfg(feature = "hub")]
pub(crate) mod push;
pub(crate) mod report;
pub(crate) mod sample;
pub(crate) mod search_steps;
pub(crate) mod train;
pub(crate) mod train_teacher;
