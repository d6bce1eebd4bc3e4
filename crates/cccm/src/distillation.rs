//! Distilling a teacher into a student.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use cccm_distill::{Averaging, DistillConfig, Distillation, LabelSpace, MovingAverage, Networks};
use cccm_labels::Vocabulary;
use cccm_run::{Settings, TrainSettings, digest_of_model, required};
use cccm_sample::{FewStepConfig, FewStepSampler};
use cccm_sched::{NoiseSchedule, SolverGrid, Streams, StudentConfig, Thresholding};
use cccm_unet::{ModelConfig, Parameters, Role, UNet, UNetConfig};
use toml::Table;

use crate::builder::{Launch, Outcome, TrainedBy};
use crate::data::TrainingImages;
use crate::places::{BUILTIN_TEACHER, load, without_links};
use crate::team::Team;
use crate::training::Training;

impl TrainedBy for TrainSettings {
    fn with_lasting_places(mut self) -> Self {
        self.distill.teacher = self.distill.teacher.map(without_links);
        self
    }

    fn train(self, launch: Launch<'_>) -> Result<Outcome<Self>> {
        let args = self;
        let guidance = args.guidance.config(Thresholding::None)?;
        let mut config = args.distill.config(required(args.optim.ema_decay, "ema_decay")?, guidance)?;
        let team = Team::open(&args.run)?;
        let device = team.device();

        let place = args.distill.teacher.as_deref().unwrap_or(BUILTIN_TEACHER);
        let (teacher_config, teacher_parameters) = load(place, device)?;
        check_teacher(&args, place, &teacher_config)?;
        let schedule = NoiseSchedule::new(&teacher_config.schedule)?;
        leave_out_unknown_timesteps(&mut config.student, &schedule)?;
        let source = training_images(&args, place, &teacher_config.labels, teacher_config.image_px)?;

        let student_config = student_config(&args, &config, &teacher_config)?;
        let streams = Streams::new(required(args.run.seed, "seed")?);
        let tables = student_config.tables()?;
        let unet = &student_config.unet;
        let guidance = args.distill.guidance_init()?;
        let start = UNet::student_parameters(unet, tables, &teacher_parameters, guidance, &streams)?;
        let weights = Weights::new(start, &config)?;
        let dtype = args.run.dtype();
        let frozen = |unet: &UNetConfig, parameters: &Parameters| {
            UNet::frozen(unet, tables, parameters).map(|network| network.computing_in(dtype))
        };
        let teacher = frozen(&teacher_config.unet, &teacher_parameters)?;
        let student = args.optim.trainable(unet, tables, &weights.trained)?.computing_in(dtype);
        let target = frozen(unet, &weights.target)?;
        let sampled_now = frozen(unet, weights.sampled())?;
        let student_now = frozen(unet, &weights.trained)?;

        let networks = Networks { student: &student, target: &target, teacher: &teacher };
        let labels = LabelSpace {
            null_labels: teacher.null_labels(),
            combinations: args.distill.trajectory_combinations(&*source.dataset),
        };
        let objective = Distillation::new(&config, schedule, labels, networks)?;
        let grid = FewStepConfig::for_student(&config.student);
        let sampler = FewStepSampler::new(&student_config.schedule, &config.student, &grid)?;

        let training = Training {
            command: TrainSettings::COMMAND,
            method: &config.fuse_method.to_string(),
            data: &args.data,
            draws: &args.draws,
            optim: &args.optim,
            run: &args.run,
            source: &source,
            objective: &objective,
            config: &student_config,
            trained: &weights.trained,
            averages: weights.averages(&config),
            averaged: weights.sampled(),
            networks: [&sampled_now, &student_now],
            sampler: &sampler,
            first_stage: config.trajectory.steps,
            sampling: format!("{} steps, guidance scale {}", grid.steps, grid.guidance_scale),
            streams,
            team: &team,
            digests: digests(&team, &source, &teacher_config, &teacher_parameters)?,
        };
        let ended = training.run(&Table::try_from(&args)?, launch.resumed, launch.listen, launch.progress)?;
        Ok(ended.outcome(student_config, source, args))
    }
}

/// What the student is.
fn student_config(
    args: &TrainSettings,
    config: &DistillConfig,
    teacher: &ModelConfig,
) -> Result<ModelConfig> {
    let guidance_dim = required(args.distill.time_cond_proj_dim, "time_cond_proj_dim")?;
    let mut student = teacher.student_of(guidance_dim, config.student.clone());
    if let Some(prediction_type) = config.student_prediction {
        student.schedule.prediction_type = prediction_type;
    }
    student.validate()?;
    Ok(student)
}

/// The weights of a student: those in training, and their moving averages.
struct Weights {
    trained: Parameters,
    target: Parameters,
    /// The slower average that is sampled instead of the target, where there is one.
    slow: Option<Parameters>,
}

impl Weights {
    fn new(start: Parameters, config: &DistillConfig) -> Result<Self> {
        let slow = config.sampling_ema_decay.map(|_| start.deep_copy()).transpose()?;
        Ok(Self { target: start.deep_copy()?, trained: start, slow })
    }

    fn averages(&self, config: &DistillConfig) -> Vec<MovingAverage> {
        let averaging = Averaging::Constant(config.ema_decay);
        let target = MovingAverage::target(self.target.vars().clone(), averaging);
        let slow = self.slow.iter().zip(config.sampling_ema_decay);
        let slow = slow.map(|(weights, decay)| MovingAverage::sampling(weights.vars().clone(), decay));
        std::iter::once(target).chain(slow).collect()
    }

    /// The weights that grids are drawn with and that are saved as the model.
    fn sampled(&self) -> &Parameters {
        self.slow.as_ref().unwrap_or(&self.target)
    }
}

/// SHA-256 of what a student is made from, by name. Empty in processes that write nothing.
fn digests(
    team: &Team,
    source: &TrainingImages,
    config: &ModelConfig,
    teacher: &Parameters,
) -> Result<BTreeMap<String, String>> {
    if !team.leads() {
        return Ok(BTreeMap::new());
    }
    Ok(BTreeMap::from([
        ("data".to_owned(), source.dataset.digest()?),
        ("teacher".to_owned(), digest_of_model(config, teacher)?),
    ]))
}

/// The images, whose labels must be the teacher's.
/// - `place`: of the teacher
fn training_images(
    args: &TrainSettings,
    place: &str,
    labels: &Vocabulary,
    image_px: usize,
) -> Result<TrainingImages> {
    let source = TrainingImages::open(&args.data, Some(labels), image_px).with_context(|| {
        format!("cannot use the data with the labels of the teacher {place}; --teacher names another")
    })?;
    let found = source.dataset.vocabulary();
    if !found.has_labels_of(labels) {
        bail!(
            "the data's labels are not the teacher's, which the student inherits: {} in the data, {} in the teacher",
            told(found),
            told(labels)
        );
    }
    Ok(source)
}

/// Drops the few-step timesteps at which the student is not trained: those of a recipe are meant for teachers
/// with 1000 timesteps.
fn leave_out_unknown_timesteps(student: &mut StudentConfig, schedule: &NoiseSchedule) -> Result<()> {
    let grid = SolverGrid::new(schedule, student.num_ddim_timesteps)?;
    let points = student.points(&grid)?.to_vec();
    student.few_step_timesteps.retain(|steps, timesteps| {
        let unknown = timesteps.iter().find(|t| !points.contains(t));
        if let Some(t) = unknown {
            tracing::warn!(
                "sampling in {steps} steps uses evenly spaced timesteps: the student is not trained at timestep {t} of \
                 --few-step-timesteps"
            );
        }
        unknown.is_none()
    });
    Ok(())
}

/// Labels for a message: `2 × 3 (red blue; 0 1 2)`.
fn told(labels: &Vocabulary) -> String {
    let counts: Vec<String> = labels.counts().iter().map(usize::to_string).collect();
    let names: Vec<String> = labels.kinds().iter().map(|kind| kind.names.join(" ")).collect();
    format!("{} ({})", counts.join(" × "), names.join("; "))
}

/// Refuses what cannot be distilled as asked.
fn check_teacher(args: &TrainSettings, place: &str, config: &ModelConfig) -> Result<()> {
    if config.role == Role::Student {
        bail!("{place} is a student, but --teacher needs a teacher (`role` in its config.json)");
    }
    let mut differences = args.network.contradictions(&config.unet, &config.schedule);
    if let Some(px) = args.data.img_size.filter(|px| *px != config.image_px) {
        differences.push(format!("--img-size is {px}, but the teacher draws {}", config.image_px));
    }
    let found = config.labels.counts();
    // The data have the teacher's labels, or are refused.
    for (flag, given) in [
        ("pretrained-nums-cond", &args.distill.pretrained_nums_cond),
        ("dataset-nums-cond", &args.distill.dataset_nums_cond),
    ] {
        if let Some(given) = given.as_ref().filter(|given| **given != found) {
            differences.push(format!("--{flag} is {given:?}, but the teacher has {found:?} labels"));
        }
    }
    if differences.is_empty() {
        return Ok(());
    }
    bail!("a student has its teacher's network: {}; leave these flags out", differences.join("; "))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn only_timesteps_that_the_student_knows_stay() -> Result<()> {
        let schedule = NoiseSchedule::new(&cccm_sched::ScheduleConfig::default())?;
        let mut student = StudentConfig {
            first_timestep: Some(799),
            few_step_timesteps: BTreeMap::from([
                (1, vec![819]),
                (2, vec![799, 60]),
                (4, vec![799, 599, 399, 79]),
            ]),
            ..StudentConfig::default()
        };
        leave_out_unknown_timesteps(&mut student, &schedule)?;
        assert_eq!(student.few_step_timesteps, BTreeMap::from([(4, vec![799, 599, 399, 79])]));
        Ok(())
    }
}
