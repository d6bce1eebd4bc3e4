#![doc = include_str!("../README.md")]

mod cells;
mod curve;
mod figures;
mod files;
mod found;
mod html;
mod labels;
mod markdown;
mod models;
mod numbers;
mod pictures;
mod rows;
mod typed;

pub use files::{Times, write_report};
pub use found::{Found, find};
pub use models::{Model, models};
