//! `cccm sample`: pictures from a student or a teacher.

#![expect(clippy::doc_markdown, reason = "help texts are read in a terminal")]

use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, Result};
use candle_core::Tensor;
use cccm::{ChosenSampler, Model, SamplerChoice, check_fits, open_device, use_threads, vocabulary_of};
use cccm_data::{Pair, Vocabulary};
use cccm_render::{GridPicture, PixelRange, rgb_image, write_png};
use cccm_run::{Dtype, GuidanceSettings};
use cccm_sample::BatchSampler;
use cccm_sched::{GuidanceConfig, Streams};
use image::imageops::{FilterType, resize};
use indicatif::ProgressBar;
use serde::Serialize;

use crate::args::{Flags, dtype};
use crate::signals::Interrupt;

/// Draw pictures with a student or a teacher
///
/// One pair with --attribute and --object; without, the matrix of all pairs, or one row or column of it. Prints one line
/// of JSON per file.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct SampleArgs {
    /// The model: a run, a model directory, a checkpoint, a file, hf://OWNER/NAME/FILE, builtin:teacher or builtin:student
    #[arg(long, value_name = "PATH", default_value = "runs/latest")]
    checkpoint: String,

    /// Attribute to draw, by name
    #[arg(long, value_name = "NAME")]
    attribute: Option<String>,

    /// Object to draw, by name
    #[arg(long, value_name = "NAME")]
    object: Option<String>,

    /// Steps per image: evaluations of a student, guided solver steps of a teacher [default: 4; teacher: 50]
    #[arg(long, value_name = "N", alias = "num-inference-steps")]
    steps: Option<usize>,

    /// How strongly to follow the labels; 1 is no guidance [default: what a student was trained for; teacher: 3]
    #[arg(long, value_name = "SCALE")]
    guidance_scale: Option<f64>,

    #[command(flatten)]
    guidance: Flags<GuidanceSettings>,

    /// Seed of the noise
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,

    /// Pictures of each pair
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    count: u32,

    /// A .png file for one picture or one grid of all, or a directory for a file each [default: ATTRIBUTE_OBJECT.png]
    #[arg(long, value_name = "PATH")]
    out: Option<PathBuf>,

    /// Whole factor to enlarge single pictures by
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
    scale: u32,

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

/// How a file came to be: printed, and kept in it.
#[derive(Serialize)]
struct Record<'a> {
    file: &'a Path,
    pairs: Vec<String>,
    #[serde(flatten)]
    origin: &'a Origin<'a>,
    /// What drawing took; in a directory, of the pictures that were drawn at once.
    secs: f64,
}

/// What all files have in common.
#[derive(Clone, Serialize)]
struct Origin<'a> {
    checkpoint: &'a str,
    steps: usize,
    guidance_scale: f64,
    /// Of a teacher.
    #[serde(skip_serializing_if = "Option::is_none")]
    guidance: Option<GuidanceConfig>,
    seed: u64,
    evaluations_per_image: usize,
}

impl Record<'_> {
    fn write(&self, picture: &image::RgbImage, out: &mut dyn Write) -> Result<()> {
        // A picture is shown to others, who need not know where things lie here.
        let name = if self.file.is_absolute() { self.file.file_name().map(Path::new) } else { None };
        let name = name.unwrap_or(self.file);
        let origin = Origin { checkpoint: without_folders(self.origin.checkpoint), ..self.origin.clone() };
        let shared = Record { file: name, origin: &origin, pairs: self.pairs.clone(), ..*self };
        write_png(self.file, picture, &[("Comment", &serde_json::to_string(&shared)?)])?;
        Ok(writeln!(out, "{}", serde_json::to_string(self)?)?)
    }
}

/// Of an absolute path its last part; other places as they are.
fn without_folders(place: &str) -> &str {
    let path = Path::new(place);
    if !path.is_absolute() {
        return place;
    }
    path.file_name().and_then(|name| name.to_str()).unwrap_or_default()
}

impl SampleArgs {
    /// Samples.
    pub(crate) fn run(self, out: &mut dyn Write) -> Result<ExitCode> {
        use_threads(self.threads)?;
        let device = open_device(self.device.as_deref())?;
        let model = Model::open_on(&self.checkpoint, &device)?.computing_in(self.dtype.into());
        let vocabulary = vocabulary_of(model.labels())?;
        let selection = self.select(&vocabulary)?;
        let choice = SamplerChoice {
            steps: self.steps,
            guidance_scale: self.guidance_scale,
            guidance: self.guidance.0.clone(),
        };
        let ChosenSampler { sampler, steps, guidance_scale, guidance } = model.sampler(choice)?;

        let path = self.out.clone().unwrap_or_else(|| self.default_out());
        let single_file = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("png"));
        // What a directory holds stays there when somebody stops this; half a file is none.
        let listen = (!single_file).then(Interrupt::listen);
        let interrupt = listen.transpose().context("cannot listen for Ctrl-C")?;
        let is_asked = || interrupt.as_ref().is_some_and(Interrupt::is_raised);
        let batches = BatchSampler {
            sampler: &*sampler,
            network: model.network(),
            streams: Streams::new(self.seed),
            image_px: model.config().image_px,
            device: &device,
            stop: &is_asked,
        };
        let origin = Origin {
            checkpoint: &self.checkpoint,
            steps,
            guidance_scale,
            guidance,
            seed: self.seed,
            evaluations_per_image: sampler.evaluations(),
        };
        let job = Job {
            args: &self,
            batches,
            vocabulary: &vocabulary,
            selection: &selection,
            origin,
            interrupt: interrupt.as_ref(),
        };
        if single_file { job.file(&path, out).map(|()| ExitCode::SUCCESS) } else { job.directory(&path, out) }
    }

    /// The pairs to draw: of all, those with the attribute and the object given.
    fn select(&self, vocabulary: &Vocabulary) -> Result<Vec<Pair>> {
        let (any_attribute, any_object) = (&vocabulary.attributes[0], &vocabulary.objects[0]);
        let given = vocabulary.pair(
            self.attribute.as_ref().unwrap_or(any_attribute),
            self.object.as_ref().unwrap_or(any_object),
        )?;
        let wanted = |pair: &Pair| {
            (self.attribute.is_none() || pair.attribute == given.attribute)
                && (self.object.is_none() || pair.object == given.object)
        };
        Ok(vocabulary.pairs().filter(wanted).collect())
    }

    fn default_out(&self) -> PathBuf {
        match (&self.attribute, &self.object) {
            (Some(attribute), Some(object)) => format!("{attribute}_{object}.png").into(),
            (Some(one), None) | (None, Some(one)) => format!("{one}.png").into(),
            (None, None) => "matrix.png".into(),
        }
    }

    fn enlarge(&self, image: &Tensor) -> Result<image::RgbImage> {
        let picture = rgb_image(image, PixelRange::Symmetric)?;
        let (width, height) = picture.dimensions();
        Ok(resize(&picture, width * self.scale, height * self.scale, FilterType::Nearest))
    }
}

/// What is drawn, and how.
struct Job<'a> {
    args: &'a SampleArgs,
    batches: BatchSampler<'a>,
    vocabulary: &'a Vocabulary,
    selection: &'a [Pair],
    origin: Origin<'a>,
    /// Where a stop leaves whole files behind.
    interrupt: Option<&'a Interrupt>,
}

impl Job<'_> {
    /// One picture, or a grid of all.
    fn file(&self, path: &Path, out: &mut dyn Write) -> Result<()> {
        let pairs = self.pairs();
        let px = self.batches.image_px * if pairs.len() == 1 { self.args.scale as usize } else { 1 };
        check_fits(pairs.len(), px).context("name a directory by --out")?;
        let started = Instant::now();
        let bar = ProgressBar::new(pairs.len() as u64);
        let images = self.batches.images(0, &labels(&pairs), &mut |done| bar.set_position(done as u64))?;
        bar.finish_and_clear();
        let secs = started.elapsed().as_secs_f64();
        let picture = if pairs.len() == 1 {
            self.args.enlarge(&images.get(0)?)?
        } else {
            let grid = grid_picture(self.vocabulary, self.selection, self.args.count as usize);
            grid.draw(&images, PixelRange::Symmetric)?
        };
        self.record(path, self.selection, secs).write(&picture, out)
    }

    /// A file for each picture. They are drawn and written part by part: there may be more than fit into memory.
    fn directory(&self, path: &Path, out: &mut dyn Write) -> Result<ExitCode> {
        let pairs = self.pairs();
        let batch = self.batches.batch();
        let bar = ProgressBar::new(pairs.len() as u64);
        for (number, part) in pairs.chunks(batch).enumerate() {
            let first = number * batch;
            let started = Instant::now();
            let drawn = self.batches.images(first, &labels(part), &mut |done| {
                bar.set_position((first + done) as u64);
            });
            let raised = self.interrupt.filter(|interrupt| interrupt.is_raised());
            if let (Err(_), Some(interrupt)) = (&drawn, raised) {
                bar.finish_and_clear();
                tracing::info!("stopped: {first} of {} pictures are in {}", pairs.len(), path.display());
                return Ok(interrupt.exit_code());
            }
            let (images, secs) = (drawn?, started.elapsed().as_secs_f64());
            for (index, pair) in part.iter().enumerate() {
                let picture = self.args.enlarge(&images.get(index)?)?;
                let number = (first + index) % self.args.count as usize;
                let file = path.join(format!("{}-{number:04}.png", self.vocabulary.folder_name(*pair)));
                self.record(&file, &[*pair], secs).write(&picture, out)?;
            }
        }
        bar.finish_and_clear();
        Ok(ExitCode::SUCCESS)
    }

    /// The pair of every picture.
    fn pairs(&self) -> Vec<Pair> {
        let count = self.args.count as usize;
        self.selection.iter().flat_map(|pair| std::iter::repeat_n(*pair, count)).collect()
    }

    fn record<'a>(&'a self, file: &'a Path, pairs: &[Pair], secs: f64) -> Record<'a> {
        let pairs = pairs.iter().map(|pair| self.vocabulary.folder_name(*pair)).collect();
        Record { file, pairs, origin: &self.origin, secs }
    }
}

fn labels(pairs: &[Pair]) -> Vec<Vec<u32>> {
    pairs.iter().map(|pair| pair.labels()).collect()
}

/// Labelled rows and columns: attributes by objects, or for several pictures of each pair, pairs by number.
fn grid_picture(vocabulary: &Vocabulary, selection: &[Pair], count: usize) -> GridPicture {
    if count > 1 {
        let row_labels = selection.iter().map(|pair| vocabulary.folder_name(*pair)).collect();
        return GridPicture { columns: count, row_labels, ..GridPicture::default() };
    }
    let labels = |names: &[String], index: fn(&Pair) -> u32| -> Vec<String> {
        let shown: BTreeSet<u32> = selection.iter().map(index).collect();
        shown.into_iter().map(|index| names[index as usize].clone()).collect()
    };
    let column_labels = labels(&vocabulary.objects, |pair| pair.object);
    let row_labels = labels(&vocabulary.attributes, |pair| pair.attribute);
    GridPicture { columns: column_labels.len(), column_labels, row_labels, ..GridPicture::default() }
}
