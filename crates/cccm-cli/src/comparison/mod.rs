//! Several models side by side: what `cccm report` gathers and writes.

mod curve;
mod figures;
mod found;
mod html;
mod labels;
mod markdown;
mod models;
mod numbers;
mod pictures;
mod rows;
mod typed;

pub(crate) use figures::{accuracy_figure, frechet_figure, pixels_figure, training_figure};
pub(crate) use found::{Found, find};
pub(crate) use html::{Shown, page};
pub(crate) use markdown::text;
pub(crate) use models::{Model, models};
pub(crate) use pictures::{before_after, matrices};
pub(crate) use rows::Report;
