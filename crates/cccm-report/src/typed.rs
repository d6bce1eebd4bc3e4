//! The commands behind the rows, as one would type them.

use anyhow::Result;
use cccm_run::{Settings, TrainSettings, TrainTeacherSettings, beyond_recipe, config_before};
use toml::Value;

use crate::found::Found;
use crate::models::Model;
use cccm_run::shell::{as_flags, quoted};
use cccm_scores::Search;

/// The commands that trained each run of a model. What they do not tell follows as comments.
pub(crate) fn training_commands(model: &Model) -> Result<Vec<String>> {
    let mut commands = Vec::new();
    for found in &model.runs {
        commands.extend(training_command(found)?);
        for step in found.run.iter().flat_map(|run| &run.changes) {
            commands.push(format!("# steps before {step} had other settings: {}", config_before(*step)));
        }
    }
    Ok(commands)
}

fn training_command(found: &Found) -> Result<Option<String>> {
    let Some(run) = &found.run else { return Ok(None) };
    let mut settings = match run.command.as_str() {
        TrainSettings::COMMAND => beyond_recipe::<TrainSettings>(&run.settings)?,
        TrainTeacherSettings::COMMAND => beyond_recipe::<TrainTeacherSettings>(&run.settings)?,
        _ => run.settings.clone(),
    };
    if let Some(threads) = run.threads {
        // The last bits of the weights depend on it.
        settings.entry("threads").or_insert(Value::Integer(threads));
    }
    let place = quoted(found.root.display());
    Ok(Some(format!("cccm {} --save-path {place}{}", run.command, as_flags(&settings))))
}

/// What searched the timesteps of each run of a model.
pub(crate) fn search_commands(model: &Model) -> Vec<String> {
    let of_run = |found: &Found| -> Vec<String> {
        let mut commands: Vec<(Search, Vec<String>)> = Vec::new();
        for (steps, search) in found.run.iter().flat_map(|run| &run.searches) {
            match commands.iter_mut().find(|(same, _)| same == search) {
                Some((_, all)) => all.push(steps.to_string()),
                None => commands.push((search.clone(), vec![steps.to_string()])),
            }
        }
        let place = quoted(found.root.display());
        let line = |(search, steps): (Search, Vec<String>)| {
            let Search { guidance_scale, samples, seed, flags: said, timesteps: _ } = search;
            format!(
                "cccm search-steps --checkpoint {place} --steps {} --guidance-scale {guidance_scale} --samples \
                 {samples} --seed {seed}{}",
                steps.join(" "),
                as_flags(&said)
            )
        };
        commands.into_iter().map(line).collect()
    };
    model.runs.iter().flat_map(of_run).collect()
}

/// What scored a model: one command for all numbers of steps that were scored together.
pub(crate) fn evaluation_commands(model: &Model) -> Vec<String> {
    let mut commands: Vec<(String, Vec<usize>, String)> = Vec::new();
    for found in &model.runs {
        for evaluation in &found.evaluations {
            let record = &evaluation.record;
            let settings = &record.settings;
            let usual = found.root.join("eval");
            // For a run, its own path: the recorded path may be relative to another folder.
            let checkpoint = match &found.run {
                Some(_) => found.root.display().to_string(),
                None => record.checkpoint.clone(),
            };
            let place = evaluation.folder.parent().filter(|place| found.run.is_none() || **place != *usual);
            let out = place.map(|place| format!(" --out {}", quoted(place.display())));
            let head = format!("cccm eval --checkpoint {} --steps", quoted(&checkpoint));
            let tail = format!(
                " --guidance-scale {} --samples {} --seed {}{}{}",
                settings.guidance_scale,
                settings.samples_per_pair,
                settings.seed,
                out.unwrap_or_default(),
                as_flags(&record.flags)
            );
            match commands.iter_mut().find(|(h, _, t)| *h == head && *t == tail) {
                Some((_, steps, _)) => steps.push(settings.steps),
                None => commands.push((head, vec![settings.steps], tail)),
            }
        }
    }
    let line = |(head, steps, tail): (String, Vec<usize>, String)| {
        let steps: Vec<String> = steps.iter().map(ToString::to_string).collect();
        format!("{head} {}{tail}", steps.join(" "))
    };
    commands.into_iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use toml::Table;

    use super::*;

    #[test]
    fn commands_give_the_settings_again() -> Result<()> {
        for (typed, want) in [
            ("", ""),
            (
                "seed = 3\nfuse_schedule = 'switch 0.4'\nw_interval = [1.0, 2.0]",
                " --fuse-schedule 'switch 0.4' --seed 3 --w-interval 1.0 2.0",
            ),
            (
                "data = 'photos'\nteacher = 't'\nfuse_method = 'switch'\nrecompute = true",
                " --data photos --fuse-method switch --recompute --teacher t",
            ),
            ("loss_type = 'sample_huber'\nepochs = 2", " --epochs 2 --loss-type sample_huber"),
        ] {
            let user: Table = typed.parse()?;
            let settings = cccm_run::lay_over(TrainSettings::recipe(&user)?, user);
            assert_eq!(as_flags(&beyond_recipe::<TrainSettings>(&settings)?), want);
        }
        Ok(())
    }
}
