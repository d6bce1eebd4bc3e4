//! The command as a user meets it.

// `cfg(test)` always holds here; it tells clippy that helpers are tests too, which may unwrap.
#![cfg(test)]

mod basics;
mod completions;
mod device;
mod devices;
mod earlier;
mod eval;
mod flags;
mod images;
mod kinds;
mod report;
mod resume;
mod support;
mod trouble;
mod trust;
