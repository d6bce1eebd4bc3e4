//! Figures of lines and points as SVG files: on white, in colours that people of every colour vision tell apart, equal
//! input in equal bytes.

mod axis;
mod figure;
mod look;
mod panel;
mod svg;

pub(crate) use axis::{Axis, Scale};
pub(crate) use figure::{Figure, Key};
pub(crate) use look::{Dash, Look, Marker};
pub(crate) use panel::{Level, Line, Panel, Point};
pub(crate) use svg::escape;
