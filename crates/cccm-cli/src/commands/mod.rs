//! One file per subcommand.

#[cfg(feature = "hub")]
pub(crate) mod push;
pub(crate) mod sample;
pub(crate) mod train;
pub(crate) mod train_teacher;
