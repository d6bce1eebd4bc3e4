//! `cccm search-steps`: better timesteps for sampling a student in few steps.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use cccm::{Model, data_of_run, open_device, open_real_images, use_threads};
use cccm_data::Combination;
use cccm_distill::Checkpoint;
use cccm_run::{DataSettings, Dtype};
use cccm_sample::{BatchSampler, FewStepConfig, FewStepSampler, search_timesteps};
use cccm_sched::{NoiseSchedule, SolverGrid, Streams, StudentConfig};
use cccm_scores::{Reference, Samples, Search, Worth};
use cccm_unet::ModelFiles;
use serde::Serialize;
use toml::Table;

use crate::args::{Flags, JudgeArgs, dtype};
use crate::display::WorkDisplay;
use crate::signals::Interrupt;

/// Real images of each pair that distances are measured from, at most.
const REAL_PER_PAIR: usize = 100;

/// Find better timesteps for sampling a student in few steps, and keep them in its config.json
///
/// Tries timesteps of the training grid, and chooses those whose pictures have the smallest Fréchet distance
/// to real images, on the features of the classifier of `cccm eval`. The classifier must not recognise fewer
/// of these pictures than with the usual timesteps. Keeps the timesteps and prints one line of JSON after
/// each number of steps. `cccm sample` and `cccm eval` then use them; the weights stay as they are.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct SearchStepsArgs {
    /// The student: a run, a model directory or a file; no checkpoint of a run, which has to stay as it is
    #[arg(long, value_name = "PATH", default_value = "runs/latest")]
    checkpoint: PathBuf,

    /// Numbers of steps to search for
    #[arg(long, value_name = "N", num_args = 1.., action = clap::ArgAction::Set, default_values_t = [2, 4])]
    steps: Vec<usize>,

    /// How strongly to follow the labels; 1 is no guidance [default: what the student was trained for]
    #[arg(long, value_name = "SCALE")]
    guidance_scale: Option<f64>,

    /// Pictures of each pair for one try
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    samples: u32,

    /// Seed of the noise; other than that of `cccm eval`, so that the search is not fitted to the pictures
    /// that are scored
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,

    #[command(flatten)]
    judge: JudgeArgs,

    #[command(flatten)]
    data: Flags<DataSettings>,

    /// CPU threads [default: all cores]
    #[arg(long, value_name = "N")]
    threads: Option<usize>,

    /// Device to compute on: cpu, cuda, cuda:1 for the second GPU, or auto, which picks the best there is
    #[arg(long, value_name = "DEVICE")]
    device: Option<String>,

    /// Numbers to compute with: f32, or bf16, which is meant for GPUs
    #[arg(long, value_name = "NAME", default_value = "f32", value_parser = dtype())]
    dtype: Dtype,
}

/// What a search found.
#[derive(Serialize)]
struct Found {
    steps: usize,
    #[serde(flatten)]
    best: Tried,
    before: Tried,
    tried: usize,
}

/// Timesteps, and what they are worth.
#[derive(Clone, Serialize)]
struct Tried {
    timesteps: Vec<u32>,
    #[serde(flatten)]
    worth: Worth,
}

impl SearchStepsArgs {
    /// What was said about judge and data, as settings.
    fn flags(&self) -> Result<Table> {
        let mut flags = self.judge.flags();
        flags.extend(Table::try_from(&self.data.0)?);
        Ok(flags)
    }

    /// Searches.
    pub(crate) fn run(self, out: &mut dyn Write) -> Result<ExitCode> {
        let interrupt = Interrupt::listen().context("cannot listen for Ctrl-C")?;
        match self.search(out, &interrupt) {
            Err(_) if interrupt.is_raised() => {
                tracing::info!(
                    "stopped; the timesteps printed so far are kept; search for the others with --steps"
                );
                Ok(interrupt.exit_code())
            }
            outcome => outcome.map(|()| ExitCode::SUCCESS),
        }
    }

    fn search(&self, out: &mut dyn Write, interrupt: &Interrupt) -> Result<()> {
        let files = ModelFiles::locate(&self.checkpoint)?;
        check_may_change(&files.config)?;
        use_threads(self.threads)?;
        let device = open_device(self.device.as_deref())?;
        let model =
            Model::open_on(&self.checkpoint.to_string_lossy(), &device)?.computing_in(self.dtype.into());
        let mut config = model.config().clone();
        let display = WorkDisplay::default();
        let watch = |progress| display.show(progress);
        let Some(mut student) = config.student.clone() else {
            bail!("{} is a teacher: only students are sampled in few steps", self.checkpoint.display());
        };
        let schedule = NoiseSchedule::new(&config.schedule)?;
        let grid = SolverGrid::new(&schedule, student.num_ddim_timesteps)?;
        let points = student.points(&grid)?;
        for steps in &self.steps {
            student.timesteps(&schedule, *steps)?;
        }
        let labels = config.labels.clone();
        let data = data_of_run(&self.checkpoint, &self.data.0)?;
        let real = open_real_images(&data, &labels, config.image_px)?;
        let judge = self.judge.judge(&real, config.labels.kinds(), interrupt, &watch)?;
        let features = Box::new(judge.classifier.clone());
        let reference = Reference::new(real, judge, features, REAL_PER_PAIR, &watch)?;

        let combinations: Vec<Combination> = labels.combinations().collect();
        let guidance_scale = self.guidance_scale.unwrap_or_else(|| student.default_guidance_scale());
        let trial = Trial {
            args: self,
            model: &model,
            reference: &reference,
            combinations: combinations.repeat(self.samples as usize),
            guidance_scale,
            interrupt,
        };
        let search = Search {
            guidance_scale,
            samples: self.samples,
            seed: self.seed,
            flags: self.flags()?,
            timesteps: None,
        };
        for &steps in &self.steps {
            let found = trial.search(&student, points, &student.timesteps(&schedule, steps)?)?;
            student.few_step_timesteps.insert(steps, found.best.timesteps.clone());
            // Saved now, so that they are kept if the search for the next number of steps fails.
            config.student = Some(student.clone());
            files
                .save_config(&config)
                .with_context(|| format!("cannot keep them in {}", files.config.display()))?;
            let search = Search { timesteps: Some(found.best.timesteps.clone()), ..search.clone() };
            search.record(&files.config, steps)?;
            writeln!(out, "{}", serde_json::to_string(&found)?)?;
        }
        tracing::info!("kept in {}", files.config.display());
        Ok(())
    }
}

/// What timesteps are tried with.
struct Trial<'a> {
    args: &'a SearchStepsArgs,
    model: &'a Model,
    reference: &'a Reference,
    /// The pair of every picture.
    combinations: Vec<Combination>,
    guidance_scale: f64,
    interrupt: &'a Interrupt,
}

impl Trial<'_> {
    /// Better timesteps, as many as those that it starts from.
    /// - `points`: the timesteps that there are
    fn search(&self, student: &StudentConfig, points: &[u32], start: &[u32]) -> Result<Found> {
        let steps = start.len();
        let mut tried: Vec<Tried> = Vec::new();
        let mut score = |timesteps: &[u32]| -> Result<f64> {
            let mut student = student.clone();
            student.few_step_timesteps.insert(steps, timesteps.to_vec());
            let worth = self.worth(&student, steps)?;
            tracing::info!(
                "{steps} steps: distance {:.2}, accuracy {:.3} at {timesteps:?}",
                worth.frechet,
                worth.accuracy
            );
            tried.push(Tried { timesteps: timesteps.to_vec(), worth });
            // The start comes first.
            Ok(if worth.accuracy < tried[0].worth.accuracy { f64::INFINITY } else { worth.frechet })
        };
        let (timesteps, _) = search_timesteps(points, start, &mut score)?;
        let best = tried.iter().find(|tried| tried.timesteps == timesteps);
        let best = best.context("a search ends with timesteps that it tried")?.clone();
        Ok(Found { steps, best, before: tried[0].clone(), tried: tried.len() })
    }

    /// What a student's timesteps are worth.
    fn worth(&self, student: &StudentConfig, steps: usize) -> Result<Worth> {
        let config = self.model.config();
        let few_steps = FewStepConfig { steps, guidance_scale: self.guidance_scale };
        let is_asked = || self.interrupt.is_raised();
        let batches = BatchSampler {
            sampler: &FewStepSampler::new(&config.schedule, student, &few_steps)?,
            network: self.model.network(),
            streams: Streams::new(self.args.seed),
            image_px: config.image_px,
            device: self.model.device(),
            stop: &is_asked,
        };
        self.reference.worth(&Samples::fresh(&batches, self.combinations.clone())?)
    }
}

/// Refuses a checkpoint: with a changed `config.json`, its run would consider it damaged and not go on from
/// it.
fn check_may_change(config: &Path) -> Result<()> {
    let folder = config.parent().unwrap_or(Path::new(""));
    let sums = Checkpoint::SUMS;
    if folder.join(sums).is_file() {
        bail!(
            "{} is a checkpoint that its run may go on from: by its {sums}, it would be damaged once timesteps \
             are kept in its config.json; search with the model of the run, RUN/model, or with a copy of the folder \
             without {sums}",
            folder.display()
        );
    }
    Ok(())
}
