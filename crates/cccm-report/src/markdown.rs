//! A report as text.

use std::collections::BTreeSet;
use std::fmt::Write;

use crate::cells::{NOTHING, Table, scales};
use crate::labels::{Section, sections};
use crate::numbers::{Number, Numbers};
use crate::rows::Report;

/// How a number is written.
#[derive(Clone, Copy)]
struct Column {
    header: &'static str,
    of: fn(&Numbers) -> Option<Number>,
    decimals: usize,
    shown: Shown,
}

/// How much of a number is shown.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shown {
    /// Its value.
    Value,
    /// Its value, and half the confidence interval.
    Error,
    /// These, and in a column of its own the spread over training seeds.
    Spread,
}

const fn column(
    header: &'static str,
    of: fn(&Numbers) -> Option<Number>,
    decimals: usize,
    shown: Shown,
) -> Column {
    Column { header, of, decimals, shown }
}

const COLUMNS: [Column; 19] = [
    column("accuracy seen", |n| n.accuracy_seen, 3, Shown::Spread),
    column("accuracy unseen", |n| n.accuracy_unseen, 3, Shown::Spread),
    column("FD seen", |n| n.frechet_seen, 2, Shown::Spread),
    column("FD unseen", |n| n.frechet_unseen, 2, Shown::Spread),
    column("FD all", |n| n.frechet_all, 2, Shown::Spread),
    column("px seen", |n| n.px_seen, 2, Shown::Spread),
    column("px unseen", |n| n.px_unseen, 2, Shown::Spread),
    column("px all", |n| n.px_all, 2, Shown::Spread),
    column("swd fine", |n| n.swd_fine, 1, Shown::Error),
    column("swd coarse", |n| n.swd_coarse, 1, Shown::Error),
    column("background", |n| n.background, 1, Shown::Error),
    column("grain", |n| n.grain, 1, Shown::Error),
    column("KID", |n| n.kernel_all, 3, Shown::Value),
    column("precision", |n| n.precision, 2, Shown::Value),
    column("recall", |n| n.recall, 2, Shown::Value),
    column("diversity", |n| n.diversity, 2, Shown::Value),
    column("copies", |n| n.copies, 3, Shown::Value),
    column("to nearest seen", |n| n.to_nearest_seen, 3, Shown::Value),
    column("to nearest unseen", |n| n.to_nearest_unseen, 3, Shown::Value),
];

/// The scores of all models: the columns that have something to show, and those for spreads if there are any.
pub(crate) fn table(report: &Report) -> Table {
    let models = || report.models.iter().flat_map(|model| model.rows.iter().map(move |row| (model, row)));
    let several = models().any(|(_, row)| row.runs > 1);
    let timed = models().any(|(_, row)| row.ms_per_image.is_some());
    let scales = scales(report);
    let shown = |column: &&Column| {
        let of = |numbers| (column.of)(numbers).is_some();
        of(&report.real) || models().any(|(_, row)| of(&row.numbers))
    };
    let columns: Vec<&Column> = COLUMNS.iter().filter(shown).collect();
    let spreads = columns.iter().filter(|column| several && column.shown == Shown::Spread);
    let spreads: Vec<&Column> = spreads.copied().collect();

    let mut header = vec!["model".to_owned(), "steps".to_owned()];
    header.extend(scales.is_none().then(|| "guidance".to_owned()));
    header.push("evaluations".to_owned());
    header.extend(timed.then(|| "ms per image".to_owned()));
    let named = header.len();
    header.extend(columns.iter().map(|column| column.header.to_owned()));
    header.extend(several.then(|| "training seeds".to_owned()));
    header.extend(spreads.iter().map(|column| format!("spread of {}", column.header)));

    let line = |first: Vec<String>, numbers: &Numbers, runs: Option<usize>| -> Vec<String> {
        let cells = columns.iter().map(|column| column.cell(numbers));
        let runs = several.then(|| runs.map_or_else(nothing, |runs| runs.to_string()));
        first.into_iter().chain(cells).chain(runs).chain(spreads.iter().map(|c| c.spread(numbers))).collect()
    };
    let mut real = vec![nothing(); named];
    "real images".clone_into(&mut real[0]);
    let mut rows = vec![line(real, &report.real, None)];
    rows.extend(models().map(|(model, row)| {
        let mut head = vec![model.name.clone(), row.steps.to_string()];
        head.extend(scales.is_none().then(|| row.guidance_scale.to_string()));
        head.push(row.evaluations_per_image.to_string());
        let ms = || row.ms_per_image.map_or_else(nothing, |ms| format!("{:.1}", ms.value));
        head.extend(timed.then(ms));
        line(head, &row.numbers, Some(row.runs))
    }));
    Table { header, rows }
}

impl Column {
    fn cell(&self, numbers: &Numbers) -> String {
        let Some(number) = (self.of)(numbers) else { return nothing() };
        match number.half().filter(|_| self.shown != Shown::Value) {
            Some(half) => format!("{:.2$} ±{:.2$}", number.value, half, self.decimals),
            None => format!("{:.*}", self.decimals, number.value),
        }
    }

    fn spread(&self, numbers: &Numbers) -> String {
        let spread = (self.of)(numbers).and_then(|number| number.spread);
        spread.map_or_else(nothing, |spread| format!("{spread:.*}", self.decimals))
    }
}

fn nothing() -> String {
    NOTHING.to_owned()
}

/// What the columns mean.
pub(crate) fn notes(report: &Report) -> Vec<String> {
    let scale = scales(report).map(|scale| format!(", guidance scale {scale}")).unwrap_or_default();
    vec![
        format!(
            "{} pictures of each pair{scale}; ± is half a 95 % confidence interval for the choice of pictures. \
             A row of several training seeds is their mean, and the spread their standard deviation.",
            report.samples_per_pair
        ),
        format!(
            "Accuracy: share of the pictures whose labels a classifier reads right, which reads {:.3} of fresh real \
             images right. Seen pairs are those of training images. FD and KID: Fréchet and kernel distance from real \
             images of the same pairs (features: {}). Precision, recall and diversity within a pair (1 is that of \
             real images) are of all pairs. Copies: pictures of seen pairs nearer to a training image than 99 % of \
             fresh real images are. To nearest: root mean square difference of pixels, which span -1 to 1, from the \
             nearest real image of the pair; for unseen pairs this is a true picture that no model saw.",
            report.classifier_accuracy, report.features
        ),
        "Distances of pixels: px is their Fréchet distance after one halving, swd the sliced Wasserstein distance of 7×7 \
         patches on the finest and the coarsest level of a Laplacian pyramid, in thousandths. Background: how far the \
         four 4×4 corners are from those of real images, where these all show the same, and grain their standard \
         deviation, both in levels of 255. These distances see grain, colour casts and veils, which a classifier does \
         not see; none of them sees a wrong label."
            .to_owned(),
        format!(
            "Real images: fresh ones, which the classifier did not learn from, in equal number.{}",
            timing(report)
        ),
    ]
}

/// What times are of, if there are any.
fn timing(report: &Report) -> String {
    let timed = report.models.iter().flat_map(|model| &model.rows).filter(|row| row.ms_per_image.is_some());
    let all: BTreeSet<&str> = timed.flat_map(|row| &row.machines).map(String::as_str).collect();
    if all.is_empty() {
        return String::new();
    }
    format!(" Time: drawing in batches on {}.", Vec::from_iter(all).join(" or "))
}

fn write_table(text: &mut String, Table { header, rows }: &Table) {
    let line = |cells: &[String]| {
        let cells: Vec<String> = cells.iter().map(|cell| cell.replace('|', "\\|")).collect();
        format!("| {} |\n", cells.join(" | "))
    };
    text.push_str(&line(header));
    let rule: Vec<&str> = (0..header.len()).map(|column| if column == 0 { "---" } else { "---:" }).collect();
    let _ = writeln!(text, "| {} |", rule.join(" | "));
    for row in rows {
        text.push_str(&line(row));
    }
}

/// The report as Markdown.
/// - `figures`: file names and what they show
pub(crate) fn text(report: &Report, figures: &[(String, String)]) -> String {
    let mut text = "# Scores\n\n".to_owned();
    write_table(&mut text, &table(report));
    for note in notes(report) {
        let _ = write!(text, "\n{note}\n");
    }
    for Section { title, note, tables } in sections(report) {
        let _ = write!(text, "\n## {title}\n\n{note}\n");
        for table in &tables {
            text.push('\n');
            write_table(&mut text, table);
        }
    }
    text.push_str("\n## Commands\n");
    for model in &report.models {
        let _ = write!(text, "\n{}:\n\n```console\n", model.name);
        for command in &model.commands {
            let _ = writeln!(text, "$ {command}");
        }
        text.push_str("```\n");
    }
    text.push_str("\n## Figures\n");
    for (file, shows) in figures {
        let _ = write!(text, "\n![{shows}]({file})\n\n*{shows}*\n");
    }
    text
}
