//! A training run as the command line has it: watched on the terminal, stopped by signals.

use std::cell::RefCell;
use std::process::ExitCode;

use anyhow::Result;
use cccm::{Finished, Outcome, TrainedBy, TrainingRun};
use cccm_run::shell::quoted;
use cccm_run::{Changes, Part};

use crate::args::LaunchArgs;
use crate::display::Display;
use crate::signals::Interrupt;

/// Trains, and says what to type next.
/// - `next`: what to say of a finished run
pub(crate) fn run<S: TrainedBy>(
    settings: S,
    launch: &LaunchArgs,
    next: impl FnOnce(&Finished<S>) -> Result<String>,
) -> Result<ExitCode> {
    let mut run = TrainingRun::new(settings);
    if let Some(file) = &launch.config {
        run = run.config(file);
    }
    if let Some(place) = &launch.resume {
        run = run.resume(place);
    }
    if launch.allow_change {
        run = run.changes(Changes::Any);
    }
    if cccm::rank_of_member().is_some() {
        run = run.part(Part::Helps);
    }
    let interrupt = RefCell::new(None);
    let listen = || {
        let listening = Interrupt::listen()?;
        let stop = listening.stop().clone();
        interrupt.replace(Some(listening));
        Ok(stop)
    };
    match run.run_listening(&mut Display::default(), &listen)? {
        Outcome::Finished(trained) => {
            tracing::info!("{}", next(&trained)?);
            Ok(ExitCode::SUCCESS)
        }
        Outcome::Stopped { run, steps_done } => {
            tracing::info!(
                "stopped after step {steps_done}; go on with\n  cccm {} --resume {}",
                S::COMMAND,
                quoted(run.root().display())
            );
            Ok(interrupt.take().map_or(ExitCode::FAILURE, |interrupt| interrupt.exit_code()))
        }
        Outcome::Helped => Ok(ExitCode::SUCCESS),
    }
}
