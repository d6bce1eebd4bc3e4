//! Tables of labels one by one: which kind is read right, which pairs, and what is taken for what.

use crate::cells::{NOTHING, Table, scales};
use crate::numbers::{Number, Numbers};
use crate::rows::{Report, Row, Scored};

/// A heading, what the tables below it mean, and the tables.
pub(crate) struct Section {
    pub(crate) title: &'static str,
    pub(crate) note: String,
    pub(crate) tables: Vec<Table>,
}

/// The sections about labels. Empty ones are left out: old scores lack these numbers.
pub(crate) fn sections(report: &Report) -> Vec<Section> {
    let kinds = Section {
        title: "Label kinds",
        note: "Share of the pictures whose label of one kind is read right, whatever is read for the other kinds; \
               ± is half a 95 % confidence interval."
            .to_owned(),
        tables: kinds(report).into_iter().collect(),
    };
    let pairs = Section {
        title: "Unseen pairs",
        note: format!(
            "Share of a pair's pictures whose labels are all read right, ± half a 95 % confidence interval, and in brackets that \
             of each kind: {}.",
            kind_names(report).join(", ")
        ),
        tables: pairs(report).into_iter().collect(),
    };
    let confusion = Section {
        title: "Which labels the classifier confuses",
        note: "Real images that it did not learn from: a row for what each shows, a column for what is read."
            .to_owned(),
        tables: confusion(report),
    };
    [kinds, pairs, confusion].into_iter().filter(|section| !section.tables.is_empty()).collect()
}

fn kinds(report: &Report) -> Option<Table> {
    let names = kind_names(report);
    let has_unseen = rows(report).any(|(_, row)| !row.numbers.kinds_unseen.is_empty());
    let parts = if has_unseen { &["seen", "unseen"][..] } else { &["seen"][..] };
    let columns = names.iter().flat_map(|name| parts.iter().map(move |part| format!("{name} {part}")));
    let cells = |numbers: &Numbers| -> Vec<String> {
        let of_kind = |kind: usize| {
            let both = [&numbers.kinds_seen, &numbers.kinds_unseen].into_iter().take(parts.len());
            both.map(move |kinds| cell(kinds.get(kind).copied().flatten()))
        };
        (0..names.len()).flat_map(of_kind).collect()
    };
    let any = rows(report).any(|(_, row)| !row.numbers.kinds_seen.is_empty());
    any.then(|| by_model(report, columns.collect(), cells))
}

fn pairs(report: &Report) -> Option<Table> {
    let mut all: Vec<&[u32]> = Vec::new();
    for pair in rows(report).flat_map(|(_, row)| &row.numbers.unseen_pairs) {
        if !all.contains(&pair.labels.as_slice()) {
            all.push(&pair.labels);
        }
    }
    if all.is_empty() {
        return None;
    }
    let cells = |numbers: &Numbers| -> Vec<String> {
        let of_pair = |labels: &&[u32]| {
            let found = numbers.unseen_pairs.iter().find(|pair| pair.labels == *labels);
            let Some(pair) = found else { return NOTHING.to_owned() };
            let kinds: Vec<String> =
                pair.kinds.iter().flatten().map(|kind| format!("{:.2}", kind.value)).collect();
            let kinds = if kinds.is_empty() { String::new() } else { format!(" ({})", kinds.join(" ")) };
            cell(pair.accuracy) + &kinds
        };
        all.iter().map(of_pair).collect()
    };
    let names = all.iter().map(|labels| {
        let names = labels.iter().enumerate().map(|(kind, label)| report.label_name(kind, *label));
        names.collect::<Vec<_>>().join(" ")
    });
    Some(by_model(report, names.collect(), cells))
}

/// A row for real images, and one for every model and number of steps.
fn by_model(report: &Report, columns: Vec<String>, cells: impl Fn(&Numbers) -> Vec<String>) -> Table {
    let scale = scales(report);
    let steps = |row: &Row| match scale {
        Some(_) => row.steps.to_string(),
        None => format!("{} at {}", row.steps, row.guidance_scale),
    };
    let steps_header = if scale.is_some() { "steps" } else { "steps at guidance" };
    let line = |name: &str, steps: String, numbers: &Numbers| {
        [vec![name.to_owned(), steps], cells(numbers)].concat()
    };
    let real = line("real images", NOTHING.to_owned(), &report.real);
    let models = rows(report).map(|(model, row)| line(&model.name, steps(row), &row.numbers));
    Table {
        rows: std::iter::once(real).chain(models).collect(),
        header: [vec!["model".to_owned(), steps_header.to_owned()], columns].concat(),
    }
}

fn confusion(report: &Report) -> Vec<Table> {
    let table = |(kind, (name, counts)): (usize, (String, &Vec<Vec<u64>>))| {
        let label = |label: usize| report.label_name(kind, label as u32);
        let header = [name].into_iter().chain((0..counts.len()).map(label)).chain(["right".to_owned()]);
        let row = |(wanted, counts): (usize, &Vec<u64>)| -> Vec<String> {
            let share = counts[wanted] as f64 / (counts.iter().sum::<u64>() as f64).max(1.0);
            let counts = counts.iter().map(ToString::to_string);
            [label(wanted)].into_iter().chain(counts).chain([format!("{share:.3}")]).collect()
        };
        Table { header: header.collect(), rows: counts.iter().enumerate().map(row).collect() }
    };
    kind_names(report).into_iter().zip(&report.classifier.confusion).enumerate().map(table).collect()
}

fn rows(report: &Report) -> impl Iterator<Item = (&Scored, &Row)> {
    report.models.iter().flat_map(|model| model.rows.iter().map(move |row| (model, row)))
}

fn kind_names(report: &Report) -> Vec<String> {
    let count = report.classifier.kinds.len();
    let name = |kind: usize| {
        report.labels.get(kind).map_or_else(|| format!("kind {kind}"), |labels| labels.kind.clone())
    };
    (0..count).map(name).collect()
}

fn cell(number: Option<Number>) -> String {
    let Some(number) = number else { return NOTHING.to_owned() };
    let half = number.half().map(|half| format!(" ±{half:.3}")).unwrap_or_default();
    format!("{:.3}{half}", number.value)
}
