//! One file per subcommand.

pub(crate) mod convert;
pub(crate) mod sample;
pub(crate) mod train;
pub(crate) mod train_teacher;
