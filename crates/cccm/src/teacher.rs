//! Training a teacher from scratch.

use std::collections::BTreeMap;

use anyhow::Result;
use cccm_distill::{Averaging, MovingAverage, TeacherTraining};
use cccm_run::{Settings, TrainTeacherSettings, required};
use cccm_sample::{DdimConfig, DdimSampler};
use cccm_sched::{GuidanceConfig, NoiseSchedule, Streams};
use cccm_unet::{ModelConfig, UNet};
use toml::Table;

use crate::builder::{Launch, Outcome, TrainedBy};
use crate::data::TrainingImages;
use crate::sampling::TEACHER_THRESHOLDING;
use crate::team::Team;
use crate::training::Training;

/// Side of the images where nothing is said of it.
const IMAGE_PX: usize = 32;
/// Guided solver steps of the grids drawn while training: half the usual 50, to look often.
const GRID_STEPS: usize = 25;
/// Guidance scale of the grids, the middle of what the built-in students are trained for.
const GRID_GUIDANCE_SCALE: f64 = 3.0;

impl TrainedBy for TrainTeacherSettings {
    fn with_lasting_places(self) -> Self {
        self
    }

    fn train(self, launch: Launch<'_>) -> Result<Outcome<Self>> {
        let args = self;
        let team = Team::open(&args.run)?;
        let device = team.device();

        let unet = args.network.unet(required(args.teacher.dropout, "dropout")?)?;
        unet.validate()?;
        unet.validate_image_px(args.data.img_size.unwrap_or(IMAGE_PX))?;
        let source = TrainingImages::open(&args.data, None, IMAGE_PX)?;
        let labels = source.dataset.vocabulary().clone();
        let config = ModelConfig::teacher(unet, source.dataset.image_px(), labels, args.network.schedule()?);
        config.validate()?;

        let streams = Streams::new(required(args.run.seed, "seed")?);
        let tables = config.tables()?;
        let trained = UNet::initial_parameters(&config.unet, tables, &streams, device)?;
        let averaged = trained.deep_copy()?;
        let dtype = args.run.dtype();
        let teacher = args.optim.trainable(&config.unet, tables, &trained)?.computing_in(dtype);
        let target = UNet::frozen(&config.unet, tables, &averaged)?.computing_in(dtype);
        let teacher_now = UNet::frozen(&config.unet, tables, &trained)?.computing_in(dtype);
        let null_labels = target.null_labels();

        let teacher_config = args.teacher.config(required(args.optim.ema_decay, "ema_decay")?)?;
        let schedule = NoiseSchedule::new(&config.schedule)?;
        let objective = TeacherTraining::new(&teacher_config, schedule, null_labels.to_vec(), &teacher)?;
        // As `sample` and `eval` draw it.
        let guidance = GuidanceConfig { thresholding: TEACHER_THRESHOLDING, ..GuidanceConfig::default() };
        let grid = DdimConfig { steps: GRID_STEPS, guidance_scale: GRID_GUIDANCE_SCALE, guidance };
        let sampler = DdimSampler::new(&config.schedule, &null_labels, &grid)?;

        let averaging = Averaging::WarmedUp(teacher_config.ema_decay);
        let training = Training {
            command: TrainTeacherSettings::COMMAND,
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
            first_stage: 0,
            sampling: format!("{GRID_STEPS} solver steps, guidance scale {GRID_GUIDANCE_SCALE}"),
            streams,
            team: &team,
            digests: if team.leads() {
                BTreeMap::from([("data".to_owned(), source.dataset.digest()?)])
            } else {
                BTreeMap::new()
            },
        };
        let ended = training.run(&Table::try_from(&args)?, launch.resumed, launch.listen, launch.progress)?;
        Ok(ended.outcome(config, source, args))
    }
}
