//! `cccm train-teacher`: a compositional conditional diffusion model from scratch.

use std::process::ExitCode;

use anyhow::Result;
use cccm::{Finished, TrainTeacherSettings};
use cccm_run::shell::{as_flags, quoted};
use cccm_run::{DataSettings, DrawSettings};
use toml::Table;

use crate::args::{LaunchArgs, RunFlags};
use crate::running::run;

/// Train a teacher, a compositional conditional diffusion model, from scratch
///
/// Without --data it is the built-in teacher on the built-in digits.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct TrainTeacherArgs {
    #[command(flatten)]
    settings: RunFlags<TrainTeacherSettings>,
    #[command(flatten)]
    launch: LaunchArgs,
}

impl TrainTeacherArgs {
    /// Trains.
    pub(crate) fn run(self) -> Result<ExitCode> {
        run(self.settings.0, &self.launch, |trained: &Finished<TrainTeacherSettings>| {
            let model = trained.run.model().display().to_string();
            let next = next_command(&model, &trained.settings.data, &trained.settings.draws)?;
            Ok(format!("the teacher is in {model}; distil it with\n  {next}"))
        })
    }
}

/// What to type next: the same images, drawn alike, without the same pairs.
fn next_command(model: &str, data: &DataSettings, draws: &DrawSettings) -> Result<String> {
    let mut settings = Table::try_from(data)?;
    // The student has its teacher's labels and its size.
    settings.retain(|name, _| ["data", "ignored", "skip_bad_images"].contains(&name));
    settings.extend(Table::try_from(draws)?);
    Ok(format!("cccm train --teacher {}{}", quoted(model), as_flags(&settings)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_command_distils_on_the_same_images() {
        let builtin =
            next_command("runs/t/model", &DataSettings::default(), &DrawSettings::default()).unwrap();
        assert_eq!(builtin, "cccm train --teacher runs/t/model");
        let data = DataSettings {
            data: Some("my photos".to_owned()),
            img_size: Some(64),
            ignored: Some(vec!["red_boat".to_owned(), "blue_car".to_owned()]),
            ..DataSettings::default()
        };
        let draws = DrawSettings { flip: Some(true), ..DrawSettings::default() };
        let own = next_command("runs/t/model", &data, &draws).unwrap();
        assert_eq!(
            own,
            "cccm train --teacher runs/t/model --data 'my photos' --flip --ignored red_boat blue_car"
        );
    }
}
