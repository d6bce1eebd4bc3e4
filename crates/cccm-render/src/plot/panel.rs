//! One pair of axes with what is drawn on it.

use super::axis::Axis;
use super::look::{Dash, GREY, Look};
use super::svg::{Anchor, Stroke, Svg, TextStyle, Turn};

const INK: &str = "#1a1a1a";
const RULE: &str = "#e4e4e4";
pub(super) const TEXT_SIZE: f64 = 12.0;
/// Half the width of the caps of bars.
const CAP: f64 = 3.0;

/// A point, with a bar to either side of it.
#[derive(Clone, Copy, Debug)]
pub struct Point {
    /// Place from left to right.
    pub x: f64,
    /// Place from bottom to top.
    pub y: f64,
    /// Ends of a bar through it, from bottom to top.
    pub bar: Option<(f64, f64)>,
}

/// Points in the order in which a line joins them.
#[derive(Clone, Debug)]
pub struct Line {
    /// Colour, markers and dashes.
    pub look: Look,
    /// In the order in which the line goes.
    pub points: Vec<Point>,
    /// Pixels by which all are moved to the right, so that points of equal `x` do not hide each other.
    pub shift: f64,
    /// Of the line, in pixels.
    pub width: f64,
}

/// A horizontal line over the whole width.
#[derive(Clone, Copy, Debug)]
pub struct Level {
    /// Place from bottom to top.
    pub y: f64,
    /// How its line is drawn.
    pub dash: Dash,
}

/// One pair of axes with what is drawn on it.
#[derive(Clone, Debug)]
pub struct Panel {
    /// From left to right.
    pub x: Axis,
    /// From bottom to top.
    pub y: Axis,
    /// Of the panel, in pixels.
    pub height: f64,
    /// Behind the lines.
    pub levels: Vec<Level>,
    /// In front, the last on top.
    pub lines: Vec<Line>,
}

/// A rectangle on the sheet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Area {
    pub(super) left: f64,
    pub(super) top: f64,
    pub(super) width: f64,
    pub(super) height: f64,
}

impl Panel {
    /// Draws axes and contents.
    /// - `clip`: a name for the area
    pub(super) fn draw(&self, svg: &mut Svg, area: Area, clip: &str) {
        self.draw_axes(svg, area);
        // A little room beyond the axes, for markers that lie on one.
        svg.begin_clip(clip, (area.left, area.top - 6.0), (area.width, area.height + 12.0));
        for level in &self.levels {
            if let Some(y) = self.y_of(level.y, area) {
                let stroke = Stroke { color: GREY, width: 1.3, dash: level.dash.pattern() };
                svg.line(&[(area.left, y), (area.left + area.width, y)], stroke);
            }
        }
        for line in &self.lines {
            self.draw_line(svg, area, line);
        }
        svg.end_clip();
    }

    fn draw_axes(&self, svg: &mut Svg, area: Area) {
        let (right, bottom) = (area.left + area.width, area.top + area.height);
        let style = |anchor| TextStyle { size: TEXT_SIZE, color: INK, anchor, turn: Turn::Level };
        let rule = Stroke { color: RULE, width: 1.0, dash: "" };
        for (place, text) in self.y.ticks() {
            let y = bottom - place * area.height;
            svg.line(&[(area.left, y), (right, y)], rule);
            svg.text((area.left - 8.0, y + 4.0), text, style(Anchor::End));
        }
        let axis = Stroke { color: INK, width: 1.0, dash: "" };
        for (place, text) in self.x.ticks() {
            let x = area.left + place * area.width;
            svg.line(&[(x, bottom), (x, bottom + 5.0)], axis);
            svg.text((x, bottom + 19.0), text, style(Anchor::Middle));
        }
        svg.line(&[(area.left, area.top), (area.left, bottom), (right, bottom)], axis);
        svg.text((area.left + area.width / 2.0, bottom + 38.0), &self.x.label, style(Anchor::Middle));
        let middle = (area.left - 46.0, area.top + area.height / 2.0);
        svg.text(middle, &self.y.label, TextStyle { turn: Turn::Upwards, ..style(Anchor::Middle) });
    }

    fn draw_line(&self, svg: &mut Svg, area: Area, line: &Line) {
        let x_of = |x: f64| Some(area.left + self.x.place(x)? * area.width + line.shift);
        let at = |x: f64, y: f64| Some((x_of(x)?, self.y_of(y, area)?));
        let points: Vec<(f64, f64)> = line.points.iter().filter_map(|point| at(point.x, point.y)).collect();
        if points.len() > 1 {
            svg.line(&points, line.look.stroke(line.width));
        }
        let thin = Stroke { color: line.look.color(), width: 1.2, dash: "" };
        for point in &line.points {
            let Some((low, high)) = point.bar else { continue };
            let (Some(x), Some(low), Some(high)) =
                (x_of(point.x), self.y_of(low, area), self.y_of(high, area))
            else {
                continue;
            };
            svg.line(&[(x, low), (x, high)], thin);
            for end in [low, high] {
                svg.line(&[(x - CAP, end), (x + CAP, end)], thin);
            }
        }
        for point in points {
            line.look.mark(svg, point);
        }
    }

    fn y_of(&self, y: f64, area: Area) -> Option<f64> {
        Some(area.top + (1.0 - self.y.place(y)?) * area.height)
    }
}
