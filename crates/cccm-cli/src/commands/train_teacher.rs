//! `cccm train-teacher`: a compositional conditional diffusion model from scratch.

use std::collections::BTreeMap;
use std::process::ExitCode;

use anyhow::Result;
use cccm_distill::{Averaging, MovingAverage, TeacherConfig, TeacherTraining};
use cccm_sample::{DdimConfig, DdimSampler};
use cccm_sched::{GuidanceConfig, NoiseSchedule, Streams};
use cccm_unet::{ModelConfig, Parameters, UNet};
use serde::{Deserialize, Serialize};
use toml::Table;

use crate::args::{DataArgs, DrawArgs, LaunchArgs, NetworkArgs, OptimArgs, RunArgs, required};
use crate::sampling::TEACHER_THRESHOLDING;
use crate::settings::{Settings, lay_over};
use crate::shell::{as_flags, quoted};
use crate::source::{Source, is_builtin_digits, label_kinds};
use crate::team::Team;
use crate::training::{Outcome, Training};

/// Side of the images when the flags do not say.
const IMAGE_PX: usize = 32;
/// Guided solver steps of the grids drawn while training: half the usual 50, to look often.
const GRID_STEPS: usize = 25;
/// Guidance scale of the grids, the middle of what the built-in students are trained for.
const GRID_GUIDANCE_SCALE: f64 = 3.0;

/// Train a teacher, a compositional conditional diffusion model, from scratch
///
/// Without --data it is the built-in teacher on the built-in digits.
#[derive(Clone, Debug, clap::Args, Serialize, Deserialize)]
pub(crate) struct TrainTeacherArgs {
    #[command(flatten)]
    #[serde(flatten)]
    data: DataArgs,
    #[command(flatten)]
    #[serde(flatten)]
    draws: DrawArgs,
    #[command(flatten)]
    #[serde(flatten)]
    network: NetworkArgs,
    #[command(flatten)]
    #[serde(flatten)]
    optim: OptimArgs,
    #[command(flatten)]
    #[serde(flatten)]
    run: RunArgs,
    #[command(flatten)]
    #[serde(skip)]
    launch: LaunchArgs,

    /// Dropout in every residual block
    #[arg(long, value_name = "P", help_heading = "Network")]
    #[serde(skip_serializing_if = "Option::is_none")]
    dropout: Option<f64>,

    /// Probability that a label is dropped, so that the network learns the unconditional too
    #[arg(long, value_name = "P", help_heading = "Optimisation")]
    #[serde(skip_serializing_if = "Option::is_none")]
    label_drop: Option<f64>,

    /// Weight of the term that makes attribute and object act independently, for pairs never seen; costs three evaluations
    /// more of most images
    #[arg(long, value_name = "LAMBDA", help_heading = "Optimisation")]
    #[serde(skip_serializing_if = "Option::is_none")]
    independence_weight: Option<f64>,
}

impl Settings for TrainTeacherArgs {
    const COMMAND: &'static str = "train-teacher";

    fn launch(&self) -> &LaunchArgs {
        &self.launch
    }

    /// The recipe of the built-in teacher, if the data are those, over the defaults.
    fn recipe(user: &Table) -> Result<Table> {
        let recipe: Table = include_str!("../recipes/teacher.toml").parse()?;
        if !is_builtin_digits(user) {
            return Ok(recipe);
        }
        Ok(lay_over(recipe, include_str!("../recipes/builtin_teacher.toml").parse()?))
    }
}

impl TrainTeacherArgs {
    /// Trains.
    pub(crate) fn run(self) -> Result<ExitCode> {
        let (args, resumed) = self.resolve()?;
        let team = Team::open(&args.run)?;
        let device = team.device();

        let unet = args.network.unet(required(args.dropout, "dropout")?)?;
        unet.validate()?;
        unet.validate_image_px(args.data.img_size.unwrap_or(IMAGE_PX))?;
        let source = Source::open(&args.data, None, IMAGE_PX)?;
        let labels = label_kinds(source.dataset.vocabulary());
        let config = ModelConfig::teacher(unet, source.dataset.image_px(), labels, args.network.schedule()?);
        config.validate()?;

        let streams = Streams::new(required(args.run.seed, "seed")?);
        let tables = config.tables()?;
        let trained = Parameters::init(&config.unet, tables, &streams, device)?;
        let averaged = trained.deep_copy()?;
        let dtype = args.run.dtype();
        let teacher = args.optim.trainable(&config.unet, tables, &trained)?.computing_in(dtype);
        let target = UNet::frozen(&config.unet, tables, &averaged)?.computing_in(dtype);
        let teacher_now = UNet::frozen(&config.unet, tables, &trained)?.computing_in(dtype);
        let null_labels = target.null_labels();

        let teacher_config = TeacherConfig {
            label_drop: required(args.label_drop, "label_drop")?,
            ema_decay: required(args.optim.ema_decay, "ema_decay")?,
            // Runs of before this setting existed go on as they were.
            independence_weight: args.independence_weight.unwrap_or(0.0),
        };
        let schedule = NoiseSchedule::new(&config.schedule)?;
        let objective = TeacherTraining::new(&teacher_config, schedule, null_labels.to_vec(), &teacher)?;
        // As `sample` and `eval` draw it.
        let guidance = GuidanceConfig { thresholding: TEACHER_THRESHOLDING, ..GuidanceConfig::default() };
        let grid = DdimConfig { steps: GRID_STEPS, guidance_scale: GRID_GUIDANCE_SCALE, guidance };
        let sampler = DdimSampler::new(&config.schedule, &null_labels, &grid)?;

        let averaging = Averaging::WarmedUp(teacher_config.ema_decay);
        let training = Training {
            command: Self::COMMAND,
            method: "teacher",
            data: &args.data,
            draws: &args.draws,
            optim: &args.optim,
            run: &args.run,
            source: &source,
            objective: &objective,
            config: &config,
            trained: &trained,
            averages: vec![MovingAverage::target(averaged.vars().clone(), averaging)],
            averaged: &averaged,
            networks: [&target, &teacher_now],
            sampler: &sampler,
            sampling: format!("{GRID_STEPS} solver steps, guidance scale {GRID_GUIDANCE_SCALE}"),
            streams,
            team: &team,
            digests: if team.leads() {
                BTreeMap::from([("data".to_owned(), source.dataset.digest()?)])
            } else {
                BTreeMap::new()
            },
        };
        match training.run(&Table::try_from(&args)?, resumed)? {
            Outcome::Stopped(code) => Ok(code),
            Outcome::Finished(run) => {
                let model = run.model().display().to_string();
                tracing::info!(
                    "the teacher is in {model}; distil it with\n  {}",
                    next_command(&model, &args.data, &args.draws)?
                );
                Ok(ExitCode::SUCCESS)
            }
        }
    }
}

/// What to type next: the same images, drawn alike, without the same pairs.
fn next_command(model: &str, data: &DataArgs, draws: &DrawArgs) -> Result<String> {
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
        let builtin = next_command("runs/t/model", &DataArgs::default(), &DrawArgs::default()).unwrap();
        assert_eq!(builtin, "cccm train --teacher runs/t/model");
        let data = DataArgs {
            data: Some("my photos".to_owned()),
            img_size: Some(64),
            ignored: Some(vec!["red_boat".to_owned(), "blue_car".to_owned()]),
            ..DataArgs::default()
        };
        let draws = DrawArgs { flip: Some(true), ..DrawArgs::default() };
        let own = next_command("runs/t/model", &data, &draws).unwrap();
        assert_eq!(
            own,
            "cccm train --teacher runs/t/model --data 'my photos' --flip --ignored red_boat blue_car"
        );
    }
}
