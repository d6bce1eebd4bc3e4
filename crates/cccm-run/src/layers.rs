//! Settings in layers: flags over a file over a recipe, each a table of what it says and nothing else.

use std::collections::BTreeSet;

use toml::{Table, Value};

use crate::setting::Effect;
use crate::settings::all_settings;

const FUSE_ARGS: &str = "fuse_args";
const FUSE_SCHEDULE: &str = "fuse_schedule";

/// Names of settings with this effect.
fn with_effect(effect: Effect) -> BTreeSet<&'static str> {
    all_settings().filter(|setting| setting.effect == effect).map(|setting| setting.name).collect()
}

/// Settings that say where something is. What it holds is compared by digest.
pub(crate) fn places() -> BTreeSet<&'static str> {
    with_effect(Effect::Place)
}

/// Settings that do not affect the weights. Skipping bad images is one of them, since it only replaces
/// stopping.
pub fn bookkeeping() -> BTreeSet<&'static str> {
    with_effect(Effect::Bookkeeping)
}

/// Pairs of a setting and another one that it clears in the layers below.
fn clearing() -> BTreeSet<(&'static str, &'static str)> {
    let mut pairs = BTreeSet::new();
    for setting in all_settings() {
        pairs.extend(setting.clears.iter().map(|other| (setting.name, *other)));
        pairs.extend(
            setting.excludes.iter().flat_map(|other| [(setting.name, *other), (*other, setting.name)]),
        );
    }
    pairs
}

/// `over` where it says something, else `base`.
pub fn lay_over(mut base: Table, over: Table) -> Table {
    for (setting, cleared) in clearing() {
        if over.contains_key(setting) {
            base.remove(cleared);
        }
    }
    if over.contains_key(FUSE_ARGS)
        && let Some(Value::String(schedule)) = base.get_mut(FUSE_SCHEDULE)
    {
        // The new numbers replace those of the lower layer, which may follow the name in the schedule's text.
        *schedule = schedule.split_whitespace().next().unwrap_or_default().to_owned();
    }
    base.extend(over);
    base
}
