//! Panels one above the other, a title above them, a legend beside them.

use super::look::{Dash, GREY, Look};
use super::panel::{Area, Panel, TEXT_SIZE};
use super::svg::{Anchor, Stroke, Svg, TextStyle, Turn};

const INK: &str = "#1a1a1a";
const PLOT_WIDTH: f64 = 560.0;
const LEFT: f64 = 68.0;
const TOP: f64 = 44.0;
/// Below each panel: ticks and the label of the axis.
const BELOW: f64 = 54.0;
const LEGEND_GAP: f64 = 20.0;
const LEGEND_LINE: f64 = 19.0;
/// Width of the sample before a text of the legend.
const SAMPLE: f64 = 26.0;
const LEGEND_WIDTH: f64 = 230.0;
/// Characters that fit beside a sample.
const LEGEND_CHARACTERS: usize = 32;

/// An entry of the legend.
#[derive(Clone, Debug)]
pub enum Key {
    /// A line as in the panels.
    Line(Look, String),
    /// A horizontal line.
    Level(Dash, String),
    /// Words alone.
    Text(String),
}

/// A figure.
#[derive(Clone, Debug)]
pub struct Figure {
    /// A name that no other figure has, in lower case letters.
    pub name: &'static str,
    /// A line above everything.
    pub title: String,
    /// Below one another.
    pub panels: Vec<Panel>,
    /// Beside the panels, from top to bottom.
    pub legend: Vec<Key>,
}

impl Figure {
    /// The figure as an SVG file.
    pub fn to_svg(&self) -> String {
        let panels_height: f64 = self.panels.iter().map(|panel| panel.height + BELOW).sum();
        let legend_height = self.legend.len() as f64 * LEGEND_LINE;
        let height = TOP + panels_height.max(legend_height);
        let width = LEFT + PLOT_WIDTH + LEGEND_GAP + LEGEND_WIDTH;
        let mut svg = Svg::new((width, height), &self.title);
        let style = TextStyle { size: 15.0, color: INK, anchor: Anchor::Start, turn: Turn::Level };
        svg.text((LEFT, 24.0), &self.title, style);
        let mut top = TOP;
        for (number, panel) in self.panels.iter().enumerate() {
            let area = Area { left: LEFT, top, width: PLOT_WIDTH, height: panel.height };
            panel.draw(&mut svg, area, &format!("{}-{number}", self.name));
            top += panel.height + BELOW;
        }
        self.draw_legend(&mut svg);
        svg.finish()
    }

    fn draw_legend(&self, svg: &mut Svg) {
        let left = LEFT + PLOT_WIDTH + LEGEND_GAP;
        let style = TextStyle { size: TEXT_SIZE, color: INK, anchor: Anchor::Start, turn: Turn::Level };
        for (number, key) in self.legend.iter().enumerate() {
            let y = TOP + 6.0 + number as f64 * LEGEND_LINE;
            let ends = [(left, y), (left + SAMPLE, y)];
            let (indent, text) = match key {
                Key::Line(look, text) => {
                    svg.line(&ends, look.stroke(1.8));
                    look.mark(svg, (left + SAMPLE / 2.0, y));
                    (SAMPLE + 8.0, text)
                }
                Key::Level(dash, text) => {
                    svg.line(&ends, Stroke { color: GREY, width: 1.3, dash: dash.pattern() });
                    (SAMPLE + 8.0, text)
                }
                Key::Text(text) => (0.0, text),
            };
            svg.text((left + indent, y + 4.0), &shortened(text), style);
        }
    }
}

/// The text, or as much of its beginning as fits.
fn shortened(text: &str) -> String {
    if text.chars().count() <= LEGEND_CHARACTERS {
        return text.to_owned();
    }
    text.chars().take(LEGEND_CHARACTERS - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::super::{Axis, Level, Line, Marker, Point, Scale};
    use super::*;

    fn figure() -> Figure {
        let look = Look { number: 1, marker: Marker::Hollow, dash: Dash::Dashed };
        let point = |x, y| Point { x, y, bar: Some((y - 0.1, y + 0.1)) };
        let line = Line { look, points: vec![point(1.0, 0.5), point(4.0, 0.9)], shift: 2.0, width: 1.8 };
        let panel = Panel {
            x: Axis::of_numbers("evaluations", &[1, 4]),
            y: Axis::fitting("accuracy", Scale::Linear, [0.0, 1.0]),
            height: 100.0,
            levels: vec![Level { y: 0.95, dash: Dash::Dotted }],
            lines: vec![line],
        };
        Figure {
            name: "golden",
            title: "a <small> figure".to_owned(),
            panels: vec![panel],
            legend: vec![
                Key::Line(look, "a name that is much longer than any legend has room for".to_owned()),
                Key::Level(Dash::Dotted, "real".to_owned()),
                Key::Text("± 95 %".to_owned()),
            ],
        }
    }

    #[test]
    fn the_figure_is_the_golden_one() {
        let golden = include_str!("golden.svg");
        let svg = figure().to_svg();
        assert_eq!(svg, figure().to_svg());
        assert_eq!(svg, golden, "\n{svg}");
    }

    #[test]
    fn what_an_axis_has_no_place_for_is_left_out() {
        let mut broken = figure();
        broken.panels[0].lines[0].points.push(Point { x: 0.0, y: f64::NAN, bar: Some((0.0, 1.0)) });
        assert_eq!(broken.to_svg(), figure().to_svg());
        assert!(!broken.to_svg().contains("NaN"));
    }

    #[test]
    fn an_empty_figure_is_one() {
        let svg = Figure { panels: vec![], legend: vec![], ..figure() }.to_svg();
        assert!(svg.starts_with("<svg") && svg.ends_with("</svg>\n"));
    }
}
