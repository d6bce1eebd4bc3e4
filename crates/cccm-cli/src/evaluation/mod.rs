//! Judging pictures by numbers.

mod draw;
mod features;
mod judge;
mod page;
mod pixels;
mod real;
mod record;
mod score;
mod search;
mod table;
mod training;

pub(crate) use draw::{SampleSettings, Samples, device_name, first_pictures};
pub(crate) use features::Features;
pub(crate) use judge::{Judge, Keep};
pub(crate) use page::{write_nearest, write_page};
#[cfg(test)]
pub(crate) use pixels::PixelScores;
pub(crate) use real::{RealImages, data_of_run};
pub(crate) use record::Record;
pub(crate) use score::{Reference, Scores, Worth};
pub(crate) use search::Search;
pub(crate) use table::{Row, table};
pub(crate) use training::{Scorer, TrainingScores};
