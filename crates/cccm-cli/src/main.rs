//! The `cccm` command.
fn main() {}
