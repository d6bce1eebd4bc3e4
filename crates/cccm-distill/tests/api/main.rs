//! The public interface, on networks small enough to compute by hand.

// `cfg(test)` always holds here; it tells clippy that helpers are tests too, which may unwrap.
#![cfg(test)]

mod checkpoint;
mod fusion;
mod independence;
mod recipes;
mod resume;
mod teacher;
mod toy;
mod trainer;
mod trajectory;
mod workers;
