//! `cccm eval`: how good a model is, in numbers.

#![expect(clippy::doc_markdown, reason = "help texts are read in a terminal")]

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use cccm_data::Pair;
use cccm_eval::Inception;
use cccm_sched::Streams;
use cccm_unet::{ModelConfig, UNet, load_weights};
use toml::Table;

use crate::args::{DataArgs, Dtype, GuidanceArgs, JudgeArgs};
use crate::evaluation::{
    Features, Judge, RealImages, Record, Reference, Row, SampleSettings, Samples, data_of_run, device_name,
    table, write_nearest, write_page,
};
use crate::pictures::Drawing;
use crate::sampling::{Asked, Chosen};
use crate::signals::Interrupt;
use crate::source::vocabulary_of;
use crate::{device, digest, model};

/// Real images of each pair that distances are measured from, where nothing is said.
const REAL_SAMPLES: u32 = 200;

/// Score a model: accuracy on seen and unseen pairs, distances to real images, speed
///
/// Draws pictures of every pair, and judges them by a small classifier that was trained on real images of the same labels
/// (a minute or two, once for a dataset), and by their pixels, in which grain, colour casts and veils show that the classifier
/// looks through. Prints tables; pictures and scores go to --out, where a stopped evaluation goes on.
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
    guidance: GuidanceArgs,

    /// Seed of the noise
    #[arg(long, value_name = "N", default_value_t = 0, help_heading = "Options")]
    seed: u64,

    /// Where scores and pictures go [default: eval/ in the run, or in the current folder]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,

    /// Print the scores as JSON, one line for each number of steps, instead of a table
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    judge: JudgeArgs,

    /// Weights of the Inception-v3 that the published FID compares by, as pytorch-fid has them (.pth or safetensors), here or
    /// at hf://OWNER/NAME/FILE: then distances are FID and KID as published, instead of on the classifier's features. 0.3 s
    /// per picture
    #[arg(long, value_name = "FILE")]
    inception: Option<String>,

    /// Real images of each pair that distances are measured from, at most
    #[arg(long, value_name = "N", default_value_t = REAL_SAMPLES, value_parser = clap::value_parser!(u32).range(1..))]
    real_samples: u32,

    #[command(flatten)]
    data: DataArgs,

    /// CPU threads [default: all cores]
    #[arg(long, value_name = "N")]
    threads: Option<usize>,

    /// Device to compute on: cpu, cuda, cuda:1 for the second GPU, or auto, which picks the best there is
    #[arg(long, value_name = "DEVICE")]
    device: Option<String>,

    /// Numbers to compute with: f32, or bf16, which is meant for GPUs
    #[arg(long, value_name = "NAME", default_value = "f32")]
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
        device::use_threads(self.threads)?;
        let device = device::open(self.device.as_deref())?;
        let (config, parameters) = model::load(&self.checkpoint, &device)?;
        let labels = vocabulary_of(&config.labels)?;
        let real = RealImages::open(
            &data_of_run(Path::new(&self.checkpoint), &self.data)?,
            &labels,
            config.image_px,
        )?;
        tracing::info!(
            "{} pairs, {} of them unseen in training",
            labels.pairs().count(),
            real.held_out.len()
        );
        let network =
            UNet::frozen(&config.unet, config.tables()?, &parameters)?.computing_in(self.dtype.into());
        let choices = self.choices(&config, &network)?;

        let judge = Judge::of(&real, &config.labels, &self.judge.training(), &self.judge.keep(), &|| {
            interrupt.is_raised()
        })?;
        let data_digest = real.train.digest()?;
        let features = self.features(&judge)?;
        let reference = Reference::new(real, judge, features, self.real_samples as usize)?;
        let judge = reference.judge();
        let real_scores = reference.score_of_real(self.samples as usize)?;

        let pairs: Vec<Pair> = labels.pairs().collect();
        let pairs = pairs.repeat(self.samples as usize);
        let folder = self.folder();
        let model_digest = digest::of_model(&config, &parameters)?;
        let mut records = Vec::new();
        for Chosen { sampler, steps, guidance_scale, guidance } in choices {
            let settings = SampleSettings {
                model: model_digest.clone(),
                steps,
                guidance_scale,
                guidance,
                seed: self.seed,
                samples_per_pair: self.samples as usize,
                dtype: self.dtype,
                device: device_name(&device),
                threads: rayon::current_num_threads(),
            };
            let drawing = Drawing {
                sampler: &*sampler,
                network: &network,
                streams: Streams::new(self.seed),
                image_px: config.image_px,
                device: &device,
                interrupt: Some(interrupt),
            };
            let folder = folder.join(format!("steps-{steps}"));
            let samples = Samples::draw(&drawing, pairs.clone(), &settings, &folder.join("samples"))?;
            let title = format!("{}, {}, guidance scale {guidance_scale}", self.checkpoint, counted(steps));
            write_page(&folder.join("pictures.png"), &samples, judge, &labels, &title)?;
            let nearest = reference.nearest(&samples)?;
            write_nearest(&folder.join("nearest.png"), &samples, &nearest, &reference, &labels, &title)?;
            let record = Record {
                cccm: env!("CARGO_PKG_VERSION").to_owned(),
                checkpoint: self.checkpoint.clone(),
                role: config.role,
                labels: config.labels.clone(),
                settings,
                flags: self.flags()?,
                evaluations_per_image: sampler.evaluations(),
                secs_per_image: samples.secs / pairs.len() as f64,
                data: data_digest.clone(),
                features: reference.features().to_owned(),
                classifier_accuracy: judge.accuracy.clone(),
                scores: reference.score_with(&samples, &nearest)?,
                real: real_scores.clone(),
            };
            record.write(&folder)?;
            tracing::info!("{}: {}", counted(steps), folder.display());
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
        let weights = load_weights(&model::file(place)?)?;
        let inception = Inception::new(&weights).with_context(|| format!("cannot use {place}"))?;
        Ok(Box::new(inception))
    }

    /// What was said about judge and real images, as settings.
    fn flags(&self) -> Result<Table> {
        let mut flags = self.judge.flags();
        flags.extend(Table::try_from(&self.data)?);
        flags.extend(Table::try_from(&self.guidance)?);
        if let Some(inception) = &self.inception {
            flags.insert("inception".to_owned(), inception.clone().into());
        }
        if self.real_samples != REAL_SAMPLES {
            flags.insert("real_samples".to_owned(), self.real_samples.into());
        }
        Ok(flags)
    }

    /// Samplers for every number of steps, so that a bad one is refused before anything is drawn.
    fn choices(&self, config: &ModelConfig, network: &UNet) -> Result<Vec<Chosen>> {
        let asked =
            |steps| Asked { steps, guidance_scale: self.guidance_scale, guidance: self.guidance.clone() };
        if self.steps.is_empty() {
            return Ok(vec![asked(None).sampler(config, network)?]);
        }
        self.steps.iter().map(|steps| asked(Some(*steps)).sampler(config, network)).collect()
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

fn counted(steps: usize) -> String {
    format!("{steps} step{}", if steps == 1 { "" } else { "s" })
}
