//! Crates depend on crates of lower floors alone; `ARCHITECTURE.md` draws the floors.

use std::collections::BTreeMap;

use anyhow::{Context, ensure};
use toml::{Table, Value};

use crate::{Published, published};

/// What the picture stands below.
const HEADING: &str = "\n## Floors\n";

/// The floor of each crate, counted from the top, as drawn.
fn drawn() -> anyhow::Result<BTreeMap<String, usize>> {
    let text = std::fs::read_to_string(crate::root().join("ARCHITECTURE.md"))?;
    let (_, section) = text.split_once(HEADING).context("no floors are drawn")?;
    let picture = section.split("```").nth(1).context("no picture below the heading")?;
    let mut floors = BTreeMap::new();
    for (floor, line) in picture.lines().enumerate() {
        for name in line.split_whitespace().filter(|word| word.starts_with("cccm")) {
            ensure!(floors.insert(name.to_owned(), floor).is_none(), "{name} is drawn twice");
        }
    }
    Ok(floors)
}

/// The crates of ours that a crate needs for itself, not for its tests.
fn dependencies(manifest: &Table) -> Vec<&String> {
    let targets = manifest.get("target").and_then(Value::as_table);
    let of_targets = targets.into_iter().flat_map(Table::values).filter_map(Value::as_table);
    let all = std::iter::once(manifest).chain(of_targets);
    all.flat_map(|of| ["dependencies", "build-dependencies"].map(|name| of.get(name)))
        .filter_map(|table| table?.as_table())
        .flat_map(|table| table.keys())
        .filter(|name| name.starts_with("cccm"))
        .collect()
}

#[test]
fn dependencies_point_downwards() -> anyhow::Result<()> {
    let floors = drawn()?;
    let mut problems = Vec::new();
    let crates = published()?;
    for Published { name, manifest, .. } in &crates {
        let Some(floor) = floors.get(name) else {
            problems.push(format!("{name} is on no floor"));
            continue;
        };
        for dependency in dependencies(manifest) {
            if floors.get(dependency).is_none_or(|below| below <= floor) {
                problems.push(format!("{name} depends on {dependency}, which is on no lower floor"));
            }
        }
    }
    if crates.len() != floors.len() {
        problems.push(format!("{} crates are drawn, and {} are there", floors.len(), crates.len()));
    }
    assert!(problems.is_empty(), "\n{}", problems.join("\n"));
    Ok(())
}
