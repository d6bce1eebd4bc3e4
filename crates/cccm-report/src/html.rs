//! A report as one page that needs no other file.

use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::cells::Table;
use crate::labels::{Section, sections};
use crate::markdown::{notes, table};
use crate::rows::Report;
use cccm_render::escape;

/// A figure of the page.
pub(crate) enum Shown<'a> {
    Svg(&'a str),
    Png(&'a [u8]),
}

const STYLE: &str = ":root{color-scheme:light dark}\
body{font-family:system-ui,'Helvetica Neue',Arial,sans-serif;margin:2rem auto;padding:0 1rem;max-width:76rem;line-height:1.45}\
.wide{overflow-x:auto}\
table{border-collapse:collapse;font-size:.85rem;font-variant-numeric:tabular-nums}\
th,td{padding:.25rem .6rem;text-align:right;white-space:nowrap}\
th{vertical-align:bottom;white-space:normal;border-bottom:1px solid}\
th:first-child,td:first-child{text-align:left}\
pre{overflow-x:auto}\
figure{margin:2rem 0}\
figure svg,figure img{max-width:100%;height:auto;background:#fff}\
figcaption{font-size:.9rem}";

/// The report as HTML.
/// - `figures`: contents and what they show
pub(crate) fn page(report: &Report, figures: &[(Shown<'_>, &str)]) -> String {
    let mut html = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" \
         content=\"width=device-width\">\n<title>Scores</title>\n<style>{STYLE}</style>\n</head>\n<body>\n\
         <h1>Scores</h1>\n"
    );
    write_table(&mut html, &table(report));
    for note in notes(report) {
        let _ = writeln!(html, "<p>{}</p>", escape(&note));
    }
    for Section { title, note, tables } in sections(report) {
        let _ = writeln!(html, "<h2>{title}</h2>\n<p>{}</p>", escape(&note));
        for table in &tables {
            write_table(&mut html, table);
        }
    }
    html.push_str("<h2>Commands</h2>\n");
    for model in &report.models {
        let lines: Vec<String> =
            model.commands.iter().map(|command| format!("$ {}", escape(command))).collect();
        let _ = writeln!(html, "<p>{}:</p>\n<pre>{}</pre>", escape(&model.name), lines.join("\n"));
    }
    html.push_str("<h2>Figures</h2>\n");
    for (figure, shows) in figures {
        let shows = escape(shows);
        let contents = match figure {
            Shown::Svg(svg) => (*svg).to_owned(),
            Shown::Png(bytes) => {
                format!("<img alt=\"{shows}\" src=\"data:image/png;base64,{}\">\n", STANDARD.encode(bytes))
            }
        };
        let _ = writeln!(html, "<figure>\n{contents}<figcaption>{shows}</figcaption>\n</figure>");
    }
    html + "</body>\n</html>\n"
}

fn write_table(html: &mut String, Table { header, rows }: &Table) {
    let cells = |cells: &[String], tag: &str| -> String {
        let cells: Vec<String> =
            cells.iter().map(|cell| format!("<{tag}>{}</{tag}>", escape(cell))).collect();
        cells.concat()
    };
    let _ = writeln!(html, "<div class=\"wide\"><table>\n<tr>{}</tr>", cells(header, "th"));
    for row in rows {
        let _ = writeln!(html, "<tr>{}</tr>", cells(row, "td"));
    }
    html.push_str("</table></div>\n");
}
