//! One file per subcommand.

pub(crate) mod dataset;
pub(crate) mod sample;
pub(crate) mod train;
pub(crate) mod train_teacher;
