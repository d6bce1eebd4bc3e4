//! `cccm train`: distil a teacher into a student.

use std::process::ExitCode;

use anyhow::Result;
use cccm::{Finished, TrainSettings, vocabulary_of};
use cccm_run::shell::{as_value, quoted};

use crate::args::{LaunchArgs, RunFlags};
use crate::running::run;

/// Distil a teacher into a student that draws in a few steps
///
/// Without --data it distils on the built-in digits, and by default the built-in teacher, in a few minutes. With --data, the
/// defaults are those of the published script.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct TrainArgs {
    #[command(flatten)]
    settings: RunFlags<TrainSettings>,
    #[command(flatten)]
    launch: LaunchArgs,
}

impl TrainArgs {
    /// Distils.
    pub(crate) fn run(self) -> Result<ExitCode> {
        run(self.settings.0, &self.launch, next_command)
    }
}

/// What to type next: one pair, unseen if there is one.
fn next_command(trained: &Finished<TrainSettings>) -> Result<String> {
    let Finished { run, config, held_out, .. } = trained;
    let vocabulary = vocabulary_of(&config.labels)?;
    let pair = held_out.iter().next_back().copied().or_else(|| vocabulary.pairs().next());
    let name = |names: &[String], index: Option<u32>| {
        index.and_then(|index| names.get(index as usize)).cloned().unwrap_or_default()
    };
    let attribute = name(&vocabulary.attributes, pair.map(|pair| pair.attribute));
    let object = name(&vocabulary.objects, pair.map(|pair| pair.object));
    Ok(format!(
        "the student draws {0}×{0} pictures; try\n  cccm sample --checkpoint {1} {2} {3} --steps 4",
        config.image_px,
        quoted(run.root().display()),
        as_value("--attribute", &attribute),
        as_value("--object", &object)
    ))
}
