//! Figures of lines and points as SVG files: on white, in colours that people of every colour vision tell apart, equal
//! input in equal bytes.

mod axis;
mod figure;
mod look;
mod panel;
mod svg;

pub use axis::{Axis, Scale};
pub use figure::{Figure, Key};
pub use look::{Dash, Look, Marker};
pub use panel::{Level, Line, Panel, Point};
pub use svg::escape;
