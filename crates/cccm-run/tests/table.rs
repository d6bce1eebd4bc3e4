//! `SETTINGS.md`: every setting, what it sets, and its values by recipe. `CCCM_WRITE_FIXTURES=1` writes it anew.

#![cfg(test)]

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

use cccm_run::{Effect, Setting, Settings, TrainSettings, TrainTeacherSettings, all_settings};
use toml::{Table, Value};

/// The columns of values: what each is called, and what a user says for it.
fn recipes() -> Vec<(&'static str, Table, BTreeSet<&'static str>)> {
    let said = |text: &str| text.parse::<Table>().unwrap();
    let names = |settings: Vec<&'static Setting>| settings.into_iter().map(|setting| setting.name).collect();
    let train = |text| TrainSettings::recipe(&said(text)).unwrap();
    let teacher = |text| TrainTeacherSettings::recipe(&said(text)).unwrap();
    vec![
        ("train, published", train("data = 'DIR'"), names(TrainSettings::all())),
        ("train, built-in digits", train(""), names(TrainSettings::all())),
        ("train-teacher", teacher("data = 'DIR'"), names(TrainTeacherSettings::all())),
        ("train-teacher, built-in digits", teacher(""), names(TrainTeacherSettings::all())),
    ]
}

fn table() -> String {
    let recipes = recipes();
    let mut text = "# Settings\n\nEvery setting of `cccm train` and `cccm train-teacher`: the key in a file of settings, and with dashes \
                    the flag.\nThe columns have the default values: `·` is none, and an empty cell a setting that the command does \
                    not have.\nSettings marked † may be changed when a run is resumed; changing any other makes it another run.\n"
        .to_owned();
    let mut headings: Vec<&str> = Vec::new();
    for setting in all_settings() {
        if !headings.contains(&setting.heading) {
            headings.push(setting.heading);
        }
    }
    let columns: Vec<&str> = recipes.iter().map(|(name, ..)| *name).collect();
    for heading in headings {
        let _ = write!(text, "\n## {heading}\n\n| setting | what it sets | {} |\n", columns.join(" | "));
        let _ = writeln!(text, "| --- | --- |{}", " --- |".repeat(columns.len()));
        for setting in all_settings().filter(|setting| setting.heading == heading) {
            let mark = if setting.effect == Effect::Bookkeeping { " †" } else { "" };
            let cell = |(_, recipe, has): &(&str, Table, BTreeSet<&str>)| match recipe.get(setting.name) {
                Some(value) => shown(value),
                None if has.contains(setting.name) => "·".to_owned(),
                None => String::new(),
            };
            let cells: Vec<String> = recipes.iter().map(cell).collect();
            let help = setting.help().replace('|', "\\|");
            let _ = writeln!(text, "| `{}`{mark} | {help} | {} |", setting.name, cells.join(" | "));
        }
    }
    text
}

fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(values) => values.iter().map(shown).collect::<Vec<_>>().join(" "),
        other => other.to_string(),
    }
}

#[test]
fn the_table_of_settings_is_that_of_the_code() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("SETTINGS.md");
    if std::env::var_os("CCCM_WRITE_FIXTURES").is_some() {
        std::fs::write(&path, table()).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap();
    assert!(
        found == table(),
        "SETTINGS.md is out of date: CCCM_WRITE_FIXTURES=1 cargo test -p cccm-run --test table"
    );
}

#[test]
fn every_setting_is_defined_once_and_refers_to_others_by_name() {
    let names: Vec<&str> = all_settings().map(|setting| setting.name).collect();
    let unique: BTreeSet<&str> = names.iter().copied().collect();
    assert_eq!(unique.len(), names.len());
    for setting in all_settings() {
        for other in setting.excludes.iter().chain(setting.clears).chain(&setting.needs) {
            assert!(unique.contains(other), "{} names {other}", setting.name);
        }
        assert!(!setting.help().is_empty() && !setting.help().ends_with('.'), "{}", setting.name);
    }
    for (name, recipe, has) in recipes() {
        let unknown: Vec<&String> = recipe.keys().filter(|key| !has.contains(key.as_str())).collect();
        assert!(unknown.is_empty(), "{name}: {unknown:?}");
    }
}
