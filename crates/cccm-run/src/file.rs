//! Settings in a file: `config.toml` of a run, or what a user wrote.

use std::path::Path;

use anyhow::{Context, Result, bail};
use toml::{Table, Value};

use crate::kinds::Settings;
use crate::setting::Setting;
use crate::settings::all_settings;

/// Table of `config.toml` that says how the run came about, beside the settings.
pub const PROVENANCE: &str = "run";

/// Reads the settings of a file, and checks that this command has them.
///
/// # Errors
/// When it cannot be read, is no TOML, or has a setting that is unknown, of the wrong type, out of range or against another.
pub fn read<S: Settings>(path: &Path) -> Result<Table> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    parse::<S>(&text).with_context(|| format!("cannot use the settings in {}", path.display()))
}

/// The settings in a text, checked as [`read`] does.
///
/// # Errors
/// As [`read`].
pub fn parse<S: Settings>(text: &str) -> Result<Table> {
    let mut table: Table = text.parse()?;
    if let Some(Value::Table(provenance)) = table.remove(PROVENANCE) {
        match provenance.get("command").and_then(Value::as_str) {
            Some(command) if command != S::COMMAND => {
                bail!("they are those of `cccm {command}`, but this is `cccm {}`", S::COMMAND)
            }
            _ => {}
        }
    }
    check_each::<S>(&table)?;
    check_together(&table)?;
    Ok(table)
}

/// Refuses settings that this command does not have, and values of the wrong type or out of range.
///
/// # Errors
/// For the first of them, with the name that is spelt most alike.
pub fn check_each<S: Settings>(table: &Table) -> Result<()> {
    let known = S::all();
    for (name, value) in table {
        let Some(setting) = known.iter().find(|setting| setting.name == name) else {
            let similarity = |known: &&&Setting| (strsim::jaro_winkler(name, known.name) * 1000.0) as u32;
            let nearest = known.iter().max_by_key(similarity);
            let nearest = nearest.map(|near| format!("; did you mean `{}`?", near.name)).unwrap_or_default();
            bail!("`cccm {}` has no setting `{name}`{nearest}", S::COMMAND);
        };
        // One by one: flattened structs do not say which of their fields has the wrong type.
        let alone = Table::from_iter([(name.clone(), value.clone())]);
        let _: S = alone.try_into().with_context(|| format!("`{name}` cannot be {value}"))?;
        setting.check(value).map_err(anyhow::Error::msg)?;
    }
    Ok(())
}

/// Refuses settings of one layer that exclude each other, and a setting without the one that it needs.
pub(crate) fn check_together(table: &Table) -> Result<()> {
    let set = || all_settings().filter(|setting| table.contains_key(setting.name));
    for setting in set() {
        if let Some(other) = setting.excludes.iter().find(|other| table.contains_key(**other)) {
            bail!("`{other}` and `{}` exclude each other: leave one of them out", setting.name);
        }
    }
    for setting in set() {
        if let Some(other) = setting.needs.filter(|other| !table.contains_key(*other)) {
            bail!("`{}` needs `{other}`: add it", setting.name);
        }
    }
    Ok(())
}
