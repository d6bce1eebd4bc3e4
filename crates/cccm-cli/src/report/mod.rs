//! Pictures for people: images side by side with drawn labels, as PNG files.

mod grid;
mod pixels;
mod png_file;
mod table;
mod text;

pub(crate) use grid::{GridPicture, Marks};
pub(crate) use pixels::{PixelRange, levels, rgb_image};
pub(crate) use png_file::{encode_png, write_png};
pub(crate) use table::aligned;
