//! Colours and markers.

use super::svg::{Stroke, Svg};

/// Okabe and Ito's colours for every colour vision, but for yellow, which is lost on white (jfly.uni-koeln.de/color).
const COLORS: [&str; 7] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000"];
/// Levels, which belong to no line.
pub(super) const GREY: &str = "#6b6b6b";
const MARKER_SIZE: f64 = 4.2;

/// How a line is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dash {
    /// Without gaps.
    Solid,
    /// Of dashes.
    Dashed,
    /// Of dots.
    Dotted,
    /// Of dashes and dots in turns.
    Mixed,
}

impl Dash {
    pub(super) fn pattern(self) -> &'static str {
        match self {
            Self::Solid => "",
            Self::Dashed => "5 3",
            Self::Dotted => "1.5 3",
            Self::Mixed => "8 3 1.5 3",
        }
    }
}

/// What stands at the points of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Marker {
    /// Nothing.
    None,
    /// A shape in the line's colour.
    Filled,
    /// Its outline.
    Hollow,
}

/// Colour and shape, as of one model; and how its line and points are drawn.
#[derive(Clone, Copy, Debug)]
pub struct Look {
    /// Which colour and shape; both repeat, but no two below 28 have the same.
    pub number: usize,
    /// What stands at its points.
    pub marker: Marker,
    /// How its line is drawn.
    pub dash: Dash,
}

impl Look {
    pub(super) fn color(self) -> &'static str {
        COLORS[self.number % COLORS.len()]
    }

    pub(super) fn stroke(self, width: f64) -> Stroke {
        Stroke { color: self.color(), width, dash: self.dash.pattern() }
    }

    /// Draws the marker of a point.
    pub(super) fn mark(self, svg: &mut Svg, (x, y): (f64, f64)) {
        let fill = match self.marker {
            Marker::None => return,
            Marker::Filled => self.color(),
            Marker::Hollow => "#ffffff",
        };
        let stroke = Stroke { color: self.color(), width: 1.6, dash: "" };
        let size = MARKER_SIZE;
        let around = |corners: &[(f64, f64)]| -> Vec<(f64, f64)> {
            corners.iter().map(|(dx, dy)| (x + dx * size, y + dy * size)).collect()
        };
        match self.number % 4 {
            0 => svg.circle((x, y), size, fill, stroke),
            1 => {
                svg.polygon(&around(&[(-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)]), fill, stroke);
            }
            2 => svg.polygon(&around(&[(0.0, -1.2), (1.1, 0.8), (-1.1, 0.8)]), fill, stroke),
            _ => svg.polygon(&around(&[(0.0, -1.3), (1.3, 0.0), (0.0, 1.3), (-1.3, 0.0)]), fill, stroke),
        }
    }
}
