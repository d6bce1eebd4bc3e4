//! The elements of an SVG file.

use std::fmt::Write;

/// Font of every text.
const FONT: &str = "system-ui, 'Helvetica Neue', Arial, 'DejaVu Sans', sans-serif";

/// Which part of a text lies at its place.
#[derive(Clone, Copy, Debug)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

/// How a text looks.
#[derive(Clone, Copy, Debug)]
pub(super) struct TextStyle {
    pub(super) size: f64,
    pub(super) color: &'static str,
    pub(super) anchor: Anchor,
    /// Turned by a quarter, to be read from below to above.
    pub(super) turn: Turn,
}

/// The direction of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    Level,
    Upwards,
}

/// How a line is drawn.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stroke {
    pub(super) color: &'static str,
    pub(super) width: f64,
    /// Pattern of `stroke-dasharray`; empty for a solid line.
    pub(super) dash: &'static str,
}

/// A file in the making.
pub(super) struct Svg {
    text: String,
}

impl Svg {
    /// A white sheet.
    /// - `title`: what a screen reader says
    pub(super) fn new((width, height): (f64, f64), title: &str) -> Self {
        let (w, h) = (number(width), number(height));
        let text = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {w} {h}\" width=\"{w}\" height=\"{h}\" \
             role=\"img\" font-family=\"{FONT}\">\n<title>{}</title>\n<rect width=\"{w}\" height=\"{h}\" \
             fill=\"#ffffff\"/>\n",
            escape(title)
        );
        Self { text }
    }

    /// A line through points.
    pub(super) fn line(&mut self, points: &[(f64, f64)], stroke: Stroke) {
        let points: Vec<String> =
            points.iter().map(|(x, y)| format!("{},{}", number(*x), number(*y))).collect();
        let dash = match stroke.dash {
            "" => String::new(),
            dash => format!(" stroke-dasharray=\"{dash}\""),
        };
        self.element(&format!(
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{}\" stroke-width=\"{}\" \
             stroke-linejoin=\"round\"{dash}/>",
            points.join(" "),
            stroke.color,
            number(stroke.width),
        ));
    }

    pub(super) fn circle(&mut self, (x, y): (f64, f64), radius: f64, fill: &str, stroke: Stroke) {
        self.element(&format!(
            "<circle cx=\"{}\" cy=\"{}\" r=\"{}\" fill=\"{fill}\" stroke=\"{}\" stroke-width=\"{}\"/>",
            number(x),
            number(y),
            number(radius),
            stroke.color,
            number(stroke.width),
        ));
    }

    /// A closed shape.
    pub(super) fn polygon(&mut self, points: &[(f64, f64)], fill: &str, stroke: Stroke) {
        let points: Vec<String> =
            points.iter().map(|(x, y)| format!("{},{}", number(*x), number(*y))).collect();
        self.element(&format!(
            "<polygon points=\"{}\" fill=\"{fill}\" stroke=\"{}\" stroke-width=\"{}\"/>",
            points.join(" "),
            stroke.color,
            number(stroke.width),
        ));
    }

    /// One line of text; its baseline lies at `y`.
    pub(super) fn text(&mut self, (x, y): (f64, f64), text: &str, style: TextStyle) {
        let anchor = match style.anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        let (x, y) = (number(x), number(y));
        let turn = match style.turn {
            Turn::Level => String::new(),
            Turn::Upwards => format!(" transform=\"rotate(-90 {x} {y})\""),
        };
        self.element(&format!(
            "<text x=\"{x}\" y=\"{y}\" font-size=\"{}\" fill=\"{}\" text-anchor=\"{anchor}\"{turn}>{}</text>",
            number(style.size),
            style.color,
            escape(text),
        ));
    }

    /// Elements between here and `end_clip` show only inside the rectangle.
    /// - `name`: a name that no other rectangle of the page has, even if the page holds several files
    pub(super) fn begin_clip(&mut self, name: &str, (left, top): (f64, f64), (width, height): (f64, f64)) {
        self.element(&format!(
            "<clipPath id=\"{name}\"><rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\"/></clipPath>\n<g \
             clip-path=\"url(#{name})\">",
            number(left),
            number(top),
            number(width),
            number(height),
        ));
    }

    pub(super) fn end_clip(&mut self) {
        self.element("</g>");
    }

    fn element(&mut self, element: &str) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.text, "{element}");
    }

    pub(super) fn finish(self) -> String {
        self.text + "</svg>\n"
    }
}

/// A coordinate: two decimals, and no more digits than it needs.
fn number(value: f64) -> String {
    let text = format!("{value:.2}");
    match text.trim_end_matches('0').trim_end_matches('.') {
        "-0" => "0".to_owned(),
        short => short.to_owned(),
    }
}

/// Text as XML may hold it.
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            // XML 1.0 has no way to write these.
            _ if character.is_control() || matches!(character, '\u{fffe}' | '\u{ffff}') => {
                escaped.push('\u{fffd}');
            }
            _ => escaped.push(character),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coordinates_are_short() {
        for (value, want) in [(1.0, "1"), (-0.001, "0"), (2.345_678, "2.35"), (-1.5, "-1.5"), (100.0, "100")]
        {
            assert_eq!(number(value), want);
        }
    }

    #[test]
    fn text_cannot_break_out() {
        assert_eq!(escape("a<b & \"c\" 'd'>\u{7}é"), "a&lt;b &amp; &quot;c&quot; &#39;d&#39;&gt;\u{fffd}é");
        let style = TextStyle { size: 12.0, color: "#000", anchor: Anchor::Middle, turn: Turn::Level };
        let mut svg = Svg::new((10.0, 10.0), "</title>");
        svg.text((5.0, 5.0), "</text><script>", style);
        let svg = svg.finish();
        assert!(!svg.contains("<script") && svg.matches("</title>").count() == 1, "{svg}");
    }
}
