#![doc = include_str!("../README.md")]

mod comparing;
mod draw;
mod features;
mod judge;
mod kept;
mod page;
mod pixels;
mod progress;
mod real;
mod record;
mod score;
mod search;
mod settings;
mod table;
mod training;

pub use draw::Samples;
pub use features::Features;
pub use judge::{Judge, Keep};
pub use kept::first_pictures;
pub use page::{write_nearest, write_page};
pub use pixels::PixelScores;
pub use progress::{Progress, Watch, Work};
pub use real::RealImages;
pub use record::Record;
pub use score::{Reference, Scores, ToNearest, Worth};
pub use search::Search;
pub use settings::{SampleSettings, device_name};
pub use table::{Row, table};
pub use training::{Scorer, TrainingScores};
