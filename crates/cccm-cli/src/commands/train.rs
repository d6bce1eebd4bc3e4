//! `cccm train`: distil a teacher into a student.

#![expect(clippy::doc_markdown, reason = "help texts are read in a terminal")]

use std::collections::BTreeMap;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use cccm_data::{Dataset, Pair, pair_counts};
use cccm_distill::{
    Averaging, DataTarget, DistillConfig, Distillation, FuseMethod, HatTarget, LabelSpace, LossType,
    MovingAverage, Networks, TeacherSolver, TimestepSampling, TrajectoryConfig,
};
use cccm_sample::{FewStepConfig, FewStepSampler};
use cccm_sched::{FuseSchedule, NoiseSchedule, PredictionType, Streams, StudentConfig, Thresholding};
use cccm_unet::{GuidanceInit, ModelConfig, Parameters, Role, UNet, UNetConfig};
use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use crate::args::{DataArgs, DrawArgs, GuidanceArgs, LaunchArgs, NetworkArgs, OptimArgs, RunArgs, required};
use crate::settings::{RECIPE, Settings, lay_over};
use crate::shell::{as_value, quoted};
use crate::source::{Source, is_builtin_digits, vocabulary_of};
use crate::team::Team;
use crate::training::{Outcome, Training};
use crate::{digest, model};

/// Sizes of a distillation of the built-in teacher.
const BUILTIN: &str = include_str!("../recipes/builtin.toml");
/// What measured best, whatever the data.
const BEST: &str = include_str!("../recipes/best.toml");
/// What measured best on the built-in digits, on top of that.
const BUILTIN_BEST: &str = include_str!("../recipes/builtin_best.toml");

/// Distil a teacher into a student that draws in a few steps
///
/// Without --data it distils on the built-in digits, and by default the built-in teacher, in a few minutes. With --data, the
/// defaults are those of the published script.
#[derive(Clone, Debug, clap::Args, Serialize, Deserialize)]
pub(crate) struct TrainArgs {
    /// The teacher: a run, a model directory, a checkpoint, a file, or hf://OWNER/NAME/FILE [default: builtin:teacher]
    #[arg(long, value_name = "PATH", alias = "pretrained-pth", help_heading = "Distillation")]
    #[serde(skip_serializing_if = "Option::is_none")]
    teacher: Option<String>,

    /// Numbers of attributes and objects that the teacher must have: only checked, as a student has its teacher's
    #[arg(long, value_names = ["ATTRIBUTES", "OBJECTS"], num_args = 2, action = clap::ArgAction::Set, help_heading = "Distillation")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pretrained_nums_cond: Option<Vec<usize>>,

    /// Numbers of attributes and objects that the data must have: only checked
    #[arg(long, value_names = ["ATTRIBUTES", "OBJECTS"], num_args = 2, action = clap::ArgAction::Set, help_heading = "Data")]
    #[serde(skip_serializing_if = "Option::is_none")]
    dataset_nums_cond: Option<Vec<usize>>,

    /// Settings by name, which other flags win over, and which wins over --config: published, or best, which is what the
    /// built-in data are distilled by
    #[arg(long, value_name = "NAME", help_heading = "Distillation")]
    #[serde(skip_serializing_if = "Option::is_none")]
    recipe: Option<Recipe>,

    #[command(flatten)]
    #[serde(flatten)]
    distill: DistillArgs,
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
}

/// What is learnt from whom.
#[derive(Clone, Debug, Default, clap::Args, Serialize, Deserialize)]
#[command(next_help_heading = "Distillation")]
#[serde(default)]
struct DistillArgs {
    /// How the teacher's prediction and real data are blended: stepfuse, lossfuse, switch
    #[arg(long, value_name = "NAME")]
    #[serde(skip_serializing_if = "Option::is_none")]
    fuse_method: Option<FuseMethod>,

    /// The teacher's share over training: `piecewise 0.2:0.5 0.8:0.1`, `exponential 2`, `switch 0.4`, only_teacher,
    /// only_ode
    #[arg(long, value_name = "SCHEDULE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    fuse_schedule: Option<String>,

    /// Numbers of the schedule, where --fuse-schedule is its name alone or is not given
    #[arg(long, value_name = "ARG", num_args = 1.., action = clap::ArgAction::Set)]
    #[serde(skip_serializing_if = "Option::is_none")]
    fuse_args: Option<Vec<String>>,

    /// How the teacher's point is found: ddim, or heun, which asks the teacher twice as often
    #[arg(long, value_name = "NAME")]
    #[serde(skip_serializing_if = "Option::is_none")]
    teacher_solver: Option<TeacherSolver>,

    /// The real-data point: published, or guided as the teacher is, for which the teacher is asked at every c_t
    #[arg(long, value_name = "NAME")]
    #[serde(skip_serializing_if = "Option::is_none")]
    data_target: Option<DataTarget>,

    /// The point behind lossfuse's teacher share: mixed with the real-data point as published, or teacher
    #[arg(long, value_name = "NAME")]
    #[serde(skip_serializing_if = "Option::is_none")]
    hat_target: Option<HatTarget>,

    /// How timesteps are drawn: uniform as published, or lognormal, which prefers low noise
    #[arg(long, value_name = "NAME")]
    #[serde(skip_serializing_if = "Option::is_none")]
    timestep_sampling: Option<TimestepSampling>,

    /// Distance between student and target: huber, sample_huber, l2
    #[arg(long, value_name = "NAME")]
    #[serde(skip_serializing_if = "Option::is_none")]
    loss_type: Option<LossType>,

    /// Where the Huber distance turns from square to linear; for sample_huber per square root of the number of values in
    /// an image [default: 0.001, for sample_huber 0.00054]
    #[arg(long, value_name = "C")]
    #[serde(skip_serializing_if = "Option::is_none")]
    huber_c: Option<f64>,

    /// Guidance weights to train for; a guidance scale is one more
    #[arg(long, value_names = ["LOW", "HIGH"], num_args = 2, action = clap::ArgAction::Set)]
    #[serde(skip_serializing_if = "Option::is_none")]
    w_interval: Option<Vec<f64>>,

    /// Width of the guidance embedding
    #[arg(long, value_name = "N")]
    #[serde(skip_serializing_if = "Option::is_none")]
    time_cond_proj_dim: Option<usize>,

    /// How the guidance projection starts: random as published, or zero, so that the student starts as its teacher
    #[arg(long, value_name = "NAME")]
    #[serde(skip_serializing_if = "Option::is_none")]
    guidance_init: Option<GuidanceStart>,

    /// Steps of the solver that the student learns to jump over
    #[arg(long, value_name = "N")]
    #[serde(skip_serializing_if = "Option::is_none")]
    num_ddim_timesteps: Option<usize>,

    /// Highest timestep at which the student learns the image itself instead of its teacher's answer [default: none]
    #[arg(long, value_name = "T")]
    #[serde(skip_serializing_if = "Option::is_none")]
    data_below: Option<u32>,

    /// Steps of the solver at the start of training, doubled up to --num-ddim-timesteps in equal shares of the run; each
    /// number must divide the training timesteps [default: --num-ddim-timesteps all along]
    #[arg(long, value_name = "N")]
    #[serde(skip_serializing_if = "Option::is_none")]
    solver_steps_start: Option<usize>,

    /// Timestep from which the student denoises: it is trained at points of the solver grid up to there, and sampled from
    /// the last of them [default: the schedule's last, as published]
    #[arg(long, value_name = "T")]
    #[serde(skip_serializing_if = "Option::is_none")]
    first_timestep: Option<u32>,

    /// Optimizer steps at the start of the run in which the student learns trajectories of the teacher from noise to images
    /// instead of single solver steps; no image is looked at [default: 0]
    #[arg(long, value_name = "N")]
    #[serde(skip_serializing_if = "Option::is_none")]
    trajectory_steps: Option<u64>,

    /// Solver steps of a trajectory; each costs as many evaluations of the guided teacher, and serves as many optimizer steps
    /// [default: 16]
    #[arg(long, value_name = "N", requires = "trajectory_steps")]
    #[serde(skip_serializing_if = "Option::is_none")]
    trajectory_solver_steps: Option<usize>,

    /// Pairs that trajectories are made for: seen, those of the training images, or all, held-out ones among them [default:
    /// seen]
    #[arg(long, value_name = "NAME", requires = "trajectory_steps")]
    #[serde(skip_serializing_if = "Option::is_none")]
    trajectory_pairs: Option<TrajectoryPairs>,

    /// What the student's network predicts: epsilon, sample or v_prediction; other than the teacher's needs
    /// --trajectory-steps to change over [default: the teacher's]
    #[arg(long, value_name = "NAME")]
    #[serde(skip_serializing_if = "Option::is_none")]
    student_prediction: Option<PredictionType>,

    /// Factor on the timestep in the boundary scalings
    #[arg(long, value_name = "FACTOR")]
    #[serde(skip_serializing_if = "Option::is_none")]
    timestep_scaling_factor: Option<f64>,

    /// What stays at every step of a second, slower average, which is then drawn and saved instead of the target
    #[arg(long, value_name = "DECAY", help_heading = "Optimisation")]
    #[serde(skip_serializing_if = "Option::is_none")]
    sampling_ema_decay: Option<f64>,

    #[command(flatten)]
    #[serde(flatten)]
    guidance: GuidanceArgs,
}

/// Settings by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Recipe {
    /// As the published runs had it.
    Published,
    /// The best of what was measured.
    Best,
}

/// Pairs that trajectories are made for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum TrajectoryPairs {
    /// Those of the training images.
    #[default]
    Seen,
    /// Every pair that the teacher knows.
    All,
}

/// How the guidance projection starts.
#[derive(Clone, Copy, Debug, clap::ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum GuidanceStart {
    Random,
    Zero,
}

impl DistillArgs {
    fn config(&self, ema_decay: f64) -> Result<DistillConfig> {
        let &[low, high] = required(self.w_interval.as_deref(), "w_interval")? else {
            bail!("--w-interval needs two numbers");
        };
        let config = DistillConfig {
            fuse_method: required(self.fuse_method, "fuse_method")?,
            fuse_schedule: self.schedule()?,
            // Runs of before these settings existed go on as they were.
            teacher_solver: self.teacher_solver.unwrap_or_default(),
            guidance: self.guidance.config(Thresholding::None)?,
            data_target: self.data_target.unwrap_or_default(),
            hat_target: self.hat_target.unwrap_or_default(),
            timestep_sampling: self.timestep_sampling.unwrap_or_default(),
            data_below: self.data_below,
            solver_steps_start: self.solver_steps_start,
            loss_type: required(self.loss_type, "loss_type")?,
            huber_c: required(self.huber_c, "huber_c")?,
            ema_decay,
            sampling_ema_decay: self.sampling_ema_decay,
            trajectory: self.trajectory(),
            student_prediction: self.student_prediction,
            student: StudentConfig {
                w_interval: (low, high),
                num_ddim_timesteps: required(self.num_ddim_timesteps, "num_ddim_timesteps")?,
                timestep_scaling: required(self.timestep_scaling_factor, "timestep_scaling_factor")?,
                first_timestep: self.first_timestep,
                ..StudentConfig::default()
            },
        };
        config.validate()?;
        Ok(config)
    }

    fn trajectory(&self) -> TrajectoryConfig {
        let default = TrajectoryConfig::default();
        TrajectoryConfig {
            steps: self.trajectory_steps.unwrap_or(default.steps),
            solver_steps: self.trajectory_solver_steps.unwrap_or(default.solver_steps),
        }
    }

    /// The pairs that trajectories are made for, as label indices.
    fn trajectory_combinations(&self, dataset: &dyn Dataset) -> Vec<Vec<u32>> {
        let pairs: Vec<Pair> = match self.trajectory_pairs.unwrap_or_default() {
            TrajectoryPairs::Seen => pair_counts(dataset).into_keys().collect(),
            TrajectoryPairs::All => dataset.vocabulary().pairs().collect(),
        };
        pairs.into_iter().map(|pair| vec![pair.attribute, pair.object]).collect()
    }

    fn schedule(&self) -> Result<FuseSchedule> {
        let mut text = required(self.fuse_schedule.clone(), "fuse_schedule")?;
        for arg in self.fuse_args.iter().flatten() {
            text = format!("{text} {arg}");
        }
        Ok(text.parse()?)
    }

    fn guidance_init(&self) -> Result<GuidanceInit> {
        Ok(match required(self.guidance_init, "guidance_init")? {
            GuidanceStart::Random => GuidanceInit::Random,
            GuidanceStart::Zero => GuidanceInit::Zero,
        })
    }
}

impl Settings for TrainArgs {
    const COMMAND: &'static str = "train";

    fn launch(&self) -> &LaunchArgs {
        &self.launch
    }

    /// The recipe that is asked for, with the sizes for the built-in digits if it is those, over the published defaults.
    fn recipe(user: &Table) -> Result<Table> {
        let mut recipe: Table = include_str!("../recipes/published.toml").parse()?;
        let builtin = is_builtin_digits(user);
        if builtin {
            recipe = lay_over(recipe, BUILTIN.parse()?);
        }
        let named = user.get(RECIPE).cloned().map(Value::try_into::<Recipe>).transpose()?;
        let named = named.unwrap_or(if builtin { Recipe::Best } else { Recipe::Published });
        if named == Recipe::Best {
            recipe = lay_over(recipe, BEST.parse()?);
            if builtin {
                recipe = lay_over(recipe, BUILTIN_BEST.parse()?);
            }
        }
        let says = |name: &str| user.get(name).and_then(Value::as_str).unwrap_or_default();
        if says("fuse_method") == FuseMethod::Switch.to_string() {
            // The published default for the other methods is no schedule for this one.
            recipe.insert("fuse_schedule".to_owned(), "switch 0.4".into());
        }
        if says("fuse_method") == FuseMethod::StepFuse.to_string() {
            // Its one point is always mixed.
            recipe.insert("hat_target".to_owned(), "mixed".into());
        }
        if let Some(huber_c) = says("loss_type").parse().ok().and_then(LossType::usual_huber_c) {
            recipe.insert("huber_c".to_owned(), huber_c.into());
        }
        Ok(recipe)
    }

    /// All that `best` says, as `published` is what it is laid over, but for the sizes of a run.
    fn of_recipes() -> Result<Table> {
        let sizes: Table = BUILTIN.parse()?;
        let mut all = lay_over(BEST.parse()?, BUILTIN_BEST.parse()?);
        all.retain(|name, _| !sizes.contains_key(name));
        Ok(all)
    }
}

impl TrainArgs {
    /// Distils.
    pub(crate) fn run(self) -> Result<ExitCode> {
        let (args, resumed) = self.with_lasting_teacher().resolve()?;
        // A file of settings may name one, too; a run that goes on keeps what it recorded.
        let args = if resumed.is_none() { args.with_lasting_teacher() } else { args };
        let config = args.distill.config(required(args.optim.ema_decay, "ema_decay")?)?;
        let team = Team::open(&args.run)?;
        let device = team.device();

        let place = args.teacher.as_deref().unwrap_or(model::BUILTIN_TEACHER);
        let (teacher_config, teacher_parameters) = model::load(place, device)?;
        args.check_teacher(place, &teacher_config)?;
        let labels = vocabulary_of(&teacher_config.labels)?;
        let source = Source::open(&args.data, Some(&labels), teacher_config.image_px).with_context(|| {
            format!("cannot use the data with the labels of the teacher {place}; --teacher names another")
        })?;
        let found = source.dataset.vocabulary();
        if *found != labels {
            bail!(
                "the data's labels are not the teacher's, which the student inherits: {} × {} in the data ({}; {}), \
                 {} × {} in the teacher ({}; {})",
                found.attributes.len(),
                found.objects.len(),
                found.attributes.join(" "),
                found.objects.join(" "),
                labels.attributes.len(),
                labels.objects.len(),
                labels.attributes.join(" "),
                labels.objects.join(" "),
            );
        }

        let guidance_dim = required(args.distill.time_cond_proj_dim, "time_cond_proj_dim")?;
        let mut student_config = teacher_config.student_of(guidance_dim, config.student.clone());
        if let Some(prediction_type) = config.student_prediction {
            student_config.schedule.prediction_type = prediction_type;
        }
        student_config.validate()?;
        let streams = Streams::new(required(args.run.seed, "seed")?);
        let tables = student_config.tables()?;
        let unet = &student_config.unet;
        let trained = teacher_parameters.student_of(unet, tables, args.distill.guidance_init()?, &streams)?;
        let averaged = trained.deep_copy()?;
        let averaging = Averaging::Constant(config.ema_decay);
        let mut averages = vec![MovingAverage::target(averaged.vars().clone(), averaging)];
        let slow = config.sampling_ema_decay.map(|_| trained.deep_copy()).transpose()?;
        averages.extend(
            slow.iter()
                .zip(config.sampling_ema_decay)
                .map(|(parameters, decay)| MovingAverage::sampling(parameters.vars().clone(), decay)),
        );
        let sampled = slow.as_ref().unwrap_or(&averaged);
        let dtype = args.run.dtype();
        let frozen = |unet: &UNetConfig, parameters: &Parameters| {
            UNet::frozen(unet, tables, parameters).map(|network| network.computing_in(dtype))
        };
        let teacher = frozen(&teacher_config.unet, &teacher_parameters)?;
        let student = args.optim.trainable(unet, tables, &trained)?.computing_in(dtype);
        let target = frozen(unet, &averaged)?;
        let sampled_now = frozen(unet, sampled)?;
        let student_now = frozen(unet, &trained)?;

        let networks = Networks { student: &student, target: &target, teacher: &teacher };
        let schedule = NoiseSchedule::new(&teacher_config.schedule)?;
        let labels = LabelSpace {
            null_labels: teacher.null_labels().to_vec(),
            combinations: args.distill.trajectory_combinations(&*source.dataset),
        };
        let objective = Distillation::new(&config, schedule, labels, networks)?;
        let grid = FewStepConfig::for_student(&config.student);
        let sampler = FewStepSampler::new(&student_config.schedule, &config.student, &grid)?;

        let training = Training {
            command: Self::COMMAND,
            method: &config.fuse_method.to_string(),
            data: &args.data,
            draws: &args.draws,
            optim: &args.optim,
            run: &args.run,
            source: &source,
            objective: &objective,
            config: &student_config,
            trained: &trained,
            averages,
            averaged: sampled,
            networks: [&sampled_now, &student_now],
            sampler: &sampler,
            sampling: format!("{} steps, guidance scale {}", grid.steps, grid.guidance_scale),
            streams,
            team: &team,
            digests: if team.leads() {
                BTreeMap::from([
                    ("data".to_owned(), source.dataset.digest()?),
                    ("teacher".to_owned(), digest::of_model(&teacher_config, &teacher_parameters)?),
                ])
            } else {
                BTreeMap::new()
            },
        };
        match training.run(&Table::try_from(&args)?, resumed)? {
            Outcome::Stopped(code) => Ok(code),
            Outcome::Finished(run) => {
                tracing::info!("{}", next_command(&student_config, &source, run.root()));
                Ok(ExitCode::SUCCESS)
            }
        }
    }

    fn with_lasting_teacher(self) -> Self {
        Self { teacher: self.teacher.map(model::without_links), ..self }
    }

    /// Refuses what cannot be distilled as asked.
    fn check_teacher(&self, place: &str, config: &ModelConfig) -> Result<()> {
        if config.role == Role::Student {
            bail!("{place} is a student, but --teacher needs a teacher (`role` in its config.json)");
        }
        let mut differences = self.network.contradictions(&config.unet, &config.schedule);
        if let Some(px) = self.data.img_size.filter(|px| *px != config.image_px) {
            differences.push(format!("--img-size is {px}, but the teacher draws {}", config.image_px));
        }
        let found: Vec<usize> = config.labels.iter().map(|kind| kind.names.len()).collect();
        // The data have the teacher's labels, or are refused.
        for (flag, given) in [
            ("pretrained-nums-cond", &self.pretrained_nums_cond),
            ("dataset-nums-cond", &self.dataset_nums_cond),
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
}

/// What to type next: one pair, unseen if there is one.
fn next_command(config: &ModelConfig, source: &Source, run: &std::path::Path) -> String {
    let vocabulary = source.dataset.vocabulary();
    let pair = source.held_out.iter().next_back().copied().or_else(|| vocabulary.pairs().next());
    let name = |names: &[String], index: Option<u32>| {
        index.and_then(|index| names.get(index as usize)).cloned().unwrap_or_default()
    };
    let attribute = name(&vocabulary.attributes, pair.map(|pair| pair.attribute));
    let object = name(&vocabulary.objects, pair.map(|pair| pair.object));
    format!(
        "the student draws {0}×{0} pictures; try\n  cccm sample --checkpoint {1} {2} {3} --steps 4",
        config.image_px,
        quoted(run.display()),
        as_value("--attribute", &attribute),
        as_value("--object", &object)
    )
}
