//! `cccm train`: distil a teacher into a student.

use std::process::ExitCode;

use anyhow::Result;
use cccm::{Finished, TrainSettings};
use cccm_run::shell::{label_flags, quoted};

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
        run(self.settings.0, &self.launch, |trained| Ok(next_command(trained)))
    }
}

/// What to type next: one combination, unseen if there is one.
fn next_command(trained: &Finished<TrainSettings>) -> String {
    let Finished { run, config, held_out, .. } = trained;
    let combination = held_out.last().copied().or_else(|| config.labels.combinations().next());
    format!(
        "the student draws {0}×{0} pictures; try\n  cccm sample --checkpoint {1} {2} --steps 4",
        config.image_px,
        quoted(run.root().display()),
        combination.map(|labels| label_flags(&config.labels, &labels)).unwrap_or_default()
    )
}
