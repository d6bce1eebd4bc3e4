//! Judging pictures by numbers.

mod draw;
mod features;
mod judge;
mod page;
mod real;
mod record;
mod score;
mod table;

pub(crate) use draw::{SampleSettings, Samples, first_pictures};
pub(crate) use features::Features;
pub(crate) use judge::{Judge, Keep};
pub(crate) use page::write_page;
pub(crate) use real::RealImages;
pub(crate) use record::Record;
pub(crate) use score::{Reference, Scores};
pub(crate) use table::{Row, table};
