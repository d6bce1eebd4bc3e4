//! The settings of a distillation on your own images, and which of them cannot change when the run is
//! resumed.

#![expect(clippy::print_stdout, reason = "an example")]

use anyhow::Result;
use cccm_run::{Effect, Settings, Start, TrainSettings, resolve};
use toml::Table;

fn main() -> Result<()> {
    let given = "data = 'photos'\nrecipe = 'best'\nmax_steps = 5000".parse()?;
    let (settings, _) = resolve::<TrainSettings>(given, &Start::default())?;
    let values = Table::try_from(&settings)?;
    for setting in TrainSettings::all() {
        let Some(value) = values.get(setting.name) else { continue };
        let mark = if setting.effect == Effect::Bookkeeping { "may change" } else { "" };
        println!("{:<24} {value:<24} {mark}", setting.name);
    }
    Ok(())
}
