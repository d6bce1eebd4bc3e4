//! `cccm eval`: how good a model is, in numbers.

#![expect(clippy::doc_markdown, reason = "help texts are read in a terminal")]

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use cccm::{
    ChosenSampler, Model, SamplerChoice, data_of_run, file_at, open_device, open_real_images, use_threads,
};
use cccm_data::{Combination, Vocabulary};
use cccm_eval::Inception;
use cccm_run::{DataSettings, Dtype, GuidanceSettings};
use cccm_sample::BatchSampler;
use cccm_sched::Streams;
use cccm_scores::{
    Features, Judge, Record, Reference, Row, SampleSettings, Samples, Scores, device_name, table,
    write_nearest, write_page,
};
use cccm_weights::load_weights;
use toml::Table;

use crate::args::{Flags, JudgeArgs, dtype};
use crate::display::WorkDisplay;
use crate::signals::Interrupt;

/// Default number of real images of each pair that distances are measured from.
const REAL_SAMPLES: u32 = 200;

/// Score a model: accuracy on seen and unseen pairs, distances to real images, speed
///
/// Draws pictures of every pair, and scores them with a small classifier, which is trained on real images of
/// the same labels (a minute or two, once for a dataset), and by distances of pixels. These see grain, colour
/// casts and veils, which the classifier does not see. Prints tables; pictures and scores go to --out, where
/// a stopped evaluation goes on.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct EvalArgs {
    /// The model: a run, a model directory, a checkpoint, a file, hf://OWNER/NAME/FILE, builtin:teacher or builtin:student. A run also
    /// says which data it was trained on
    #[arg(long, value_name = "PATH", default_value = "runs/latest")]
    checkpoint: String,

    /// Numbers of steps to score, each on its own [default: 4; teacher: 50]
    #[arg(long, value_name = "N", num_args = 1.., action = clap::ArgAction::Set, alias = "num-inference-steps")]
    steps: Vec<usize>,

    /// How strongly to follow the labels; 1 is no guidance [default: what a student was trained for; teacher: 3]
    #[arg(long, value_name = "SCALE")]
    guidance_scale: Option<f64>,

    /// Pictures of each pair
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    samples: u32,

    #[command(flatten)]
    guidance: Flags<GuidanceSettings>,

    /// Seed of the noise
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,

    /// Where scores and pictures go [default: eval/ in the run, or in the current folder]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,

    /// Print the scores as JSON, one line for each number of steps, instead of a table
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    judge: JudgeArgs,

    /// Weights of the Inception-v3 of the published FID, as pytorch-fid has them (.pth or safetensors): a
    /// file, or hf://OWNER/NAME/FILE. Distances are then FID and KID as published, instead of distances of
    /// the classifier's features. Takes 0.3 s per picture
    #[arg(long, value_name = "FILE")]
    inception: Option<String>,

    /// Real images of each pair that distances are measured from, at most
    #[arg(long, value_name = "N", default_value_t = REAL_SAMPLES, value_parser = clap::value_parser!(u32).range(1..))]
    real_samples: u32,

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

impl EvalArgs {
    /// Evaluates.
    pub(crate) fn run(self, out: &mut dyn Write) -> Result<ExitCode> {
        let interrupt = Interrupt::listen().context("cannot listen for Ctrl-C")?;
        match self.evaluate(out, &interrupt) {
            Err(_) if interrupt.is_raised() => {
                tracing::info!("stopped; the same command goes on with the pictures that are drawn");
                Ok(interrupt.exit_code())
            }
            outcome => outcome.map(|()| ExitCode::SUCCESS),
        }
    }

    fn evaluate(&self, out: &mut dyn Write, interrupt: &Interrupt) -> Result<()> {
        use_threads(self.threads)?;
        let device = open_device(self.device.as_deref())?;
        let model = Model::open_on(&self.checkpoint, &device)?.computing_in(self.dtype.into());
        let config = model.config();
        let labels = config.labels.clone();
        let display = WorkDisplay::default();
        let watch = |progress| display.show(progress);
        let real = open_real_images(
            &data_of_run(Path::new(&self.checkpoint), &self.data.0)?,
            &labels,
            config.image_px,
        )?;
        tracing::info!(
            "{} pairs, {} of them unseen in training",
            labels.combinations().count(),
            real.held_out.len()
        );
        let choices = self.choices(&model)?;

        let judge = self.judge.judge(&real, config.labels.kinds(), interrupt, &watch)?;
        let data_digest = real.train.digest()?;
        let features = self.features(&judge)?;
        let reference = Reference::new(real, judge, features, self.real_samples as usize, &watch)?;
        let combinations: Vec<Combination> = labels.combinations().collect();
        let evaluation = Evaluation {
            args: self,
            model_digest: model.digest()?,
            model: &model,
            labels,
            real_scores: reference.score_of_real(self.samples as usize)?,
            reference,
            data_digest,
            combinations: combinations.repeat(self.samples as usize),
            folder: self.folder(),
            interrupt,
            display,
        };
        let mut records = Vec::new();
        for choice in choices {
            let record = evaluation.of(&choice)?;
            if self.json {
                writeln!(out, "{}", serde_json::to_string(&record)?)?;
            }
            records.push(record);
        }
        if !self.json {
            write!(out, "{}", self.table(&records))?;
        }
        Ok(())
    }

    fn table(&self, records: &[Record]) -> String {
        let Some(first) = records.first() else { return String::new() };
        let real = Row { name: "real images".to_owned(), cost: None, scores: &first.real };
        let rows = records.iter().map(|record| Row {
            name: counted(record.settings.steps),
            cost: Some((record.evaluations_per_image, record.secs_per_image)),
            scores: &record.scores,
        });
        let rows: Vec<Row<'_>> = std::iter::once(real).chain(rows).collect();
        let kinds: Vec<&str> = first.labels.iter().map(|kind| kind.kind.as_str()).collect();
        format!(
            "{}\n{} pictures of each pair, seed {}, guidance scale {}; ± is half a 95 % confidence interval.\n\
             FD, KID, precision, recall and diversity: on features of the {}. px: Fréchet distance of pixels, halved once. swd: \
             sliced\nWasserstein distance of 7×7 patches, finest and coarsest level. background, grain: of the corners, in levels \
             of 255, where all\nreal images share them. labels: {} apart.\n",
            table(&rows),
            self.samples,
            self.seed,
            first.settings.guidance_scale,
            first.features,
            kinds.join(", "),
        )
    }

    /// What distances are computed on.
    fn features(&self, judge: &Judge) -> Result<Box<dyn Features>> {
        let Some(place) = &self.inception else { return Ok(Box::new(judge.classifier.clone())) };
        let weights = load_weights(&file_at(place)?)?;
        let inception = Inception::new(&weights).with_context(|| format!("cannot use {place}"))?;
        Ok(Box::new(inception))
    }

    /// The flags about judge and real images, as settings.
    fn flags(&self) -> Result<Table> {
        let mut flags = self.judge.flags();
        flags.extend(Table::try_from(&self.data.0)?);
        flags.extend(Table::try_from(&self.guidance.0)?);
        if let Some(inception) = &self.inception {
            flags.insert("inception".to_owned(), inception.clone().into());
        }
        if self.real_samples != REAL_SAMPLES {
            flags.insert("real_samples".to_owned(), self.real_samples.into());
        }
        Ok(flags)
    }

    /// Samplers for every number of steps, so that a bad one is refused before anything is drawn.
    fn choices(&self, model: &Model) -> Result<Vec<ChosenSampler>> {
        let steps =
            if self.steps.is_empty() { vec![None] } else { self.steps.iter().copied().map(Some).collect() };
        let choice = |steps| SamplerChoice {
            steps,
            guidance_scale: self.guidance_scale,
            guidance: self.guidance.0.clone(),
        };
        steps.into_iter().map(|steps| Ok(model.sampler(choice(steps))?)).collect()
    }

    fn folder(&self) -> PathBuf {
        let run = Path::new(&self.checkpoint);
        match &self.out {
            Some(folder) => folder.clone(),
            None if run.join("config.toml").is_file() => run.join("eval"),
            None => PathBuf::from("eval"),
        }
    }
}

/// What is evaluated, and against what.
struct Evaluation<'a> {
    args: &'a EvalArgs,
    model: &'a Model,
    model_digest: String,
    labels: Vocabulary,
    reference: Reference,
    real_scores: Scores,
    data_digest: String,
    /// The pair of every picture.
    combinations: Vec<Combination>,
    folder: PathBuf,
    interrupt: &'a Interrupt,
    display: WorkDisplay,
}

impl Evaluation<'_> {
    /// Draws and scores pictures in one number of steps, and writes both.
    fn of(&self, choice: &ChosenSampler) -> Result<Record> {
        let Self { args, model, reference, labels, .. } = self;
        let settings = self.settings(choice);
        let is_asked = || self.interrupt.is_raised();
        let batches = BatchSampler {
            sampler: &*choice.sampler,
            network: model.network(),
            streams: Streams::new(args.seed),
            image_px: model.config().image_px,
            device: model.device(),
            stop: &is_asked,
        };
        let steps = counted(choice.steps);
        let folder = self.folder.join(format!("steps-{}", choice.steps));
        let watch = |progress| self.display.show(progress);
        let samples =
            Samples::draw(&batches, self.combinations.clone(), &settings, &folder.join("samples"), &watch)?;
        let title = format!("{}, {steps}, guidance scale {}", args.checkpoint, choice.guidance_scale);
        write_page(&folder.join("pictures.png"), &samples, reference.judge(), labels, &title)?;
        let nearest = reference.nearest(&samples)?;
        write_nearest(&folder.join("nearest.png"), &samples, &nearest, reference, labels, &title)?;
        let record = Record {
            cccm: env!("CARGO_PKG_VERSION").to_owned(),
            checkpoint: args.checkpoint.clone(),
            role: model.config().role,
            labels: model.labels().kinds().to_vec(),
            settings,
            flags: args.flags()?,
            evaluations_per_image: choice.sampler.evaluations(),
            secs_per_image: samples.secs / self.combinations.len() as f64,
            data: self.data_digest.clone(),
            features: reference.features().to_owned(),
            classifier_accuracy: reference.judge().accuracy.clone(),
            scores: reference.score_with(&samples, &nearest)?,
            real: self.real_scores.clone(),
        };
        record.write(&folder)?;
        tracing::info!("{steps}: {}", folder.display());
        Ok(record)
    }

    fn settings(&self, choice: &ChosenSampler) -> SampleSettings {
        SampleSettings {
            model: self.model_digest.clone(),
            steps: choice.steps,
            guidance_scale: choice.guidance_scale,
            guidance: choice.guidance.clone(),
            seed: self.args.seed,
            samples_per_pair: self.args.samples as usize,
            dtype: self.args.dtype,
            device: device_name(self.model.device()),
            threads: rayon::current_num_threads(),
        }
    }
}

fn counted(steps: usize) -> String {
    format!("{steps} step{}", if steps == 1 { "" } else { "s" })
}
