#![doc = include_str!("../README.md")]

mod bands;
mod grid;
mod matrix;
mod pixels;
mod plot;
mod png_file;
mod stack;
mod system_font;
mod table;
mod text;

pub use bands::{Bands, Below};
pub use grid::{GridBands, GridPicture, Marks};
pub use matrix::Matrix;
pub use pixels::{PixelRange, levels, rgb_image};
pub use plot::{Axis, Dash, Figure, Key, Level, Line, Look, Marker, Panel, Point, Scale, escape};
pub use png_file::{encode_png, write_png};
pub use stack::beside;
pub use table::aligned;
