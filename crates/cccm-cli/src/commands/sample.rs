//! `cccm sample`: pictures from a student or a teacher.

#![expect(clippy::doc_markdown, reason = "help texts are read in a terminal")]

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use candle_core::Tensor;
use cccm::{ChosenSampler, Model, SamplerChoice, check_fits, open_device, use_threads};
use cccm_labels::{Combination, Vocabulary};
use cccm_render::{Bands, Below, GridBands, GridPicture, Matrix, PixelRange, rgb_image, write_png};
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
/// Draws one combination if a label of each kind is given, by --attribute and --object or by --label.
/// Otherwise draws a grid of all combinations with the given labels. Prints one line of JSON per file.
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

    /// Label to draw of a kind, as colour=red; once for each kind
    #[arg(long, value_name = "KIND=LABEL", value_parser = kind_and_label)]
    label: Vec<(String, String)>,

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

    /// Pictures of each combination
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    count: u32,

    /// A .png file for one picture or a grid of all pictures, or a directory for one file per picture
    /// [default: ATTRIBUTE_OBJECT.png]
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
    /// Seconds of drawing: for a file in a directory, those of the whole batch that it was drawn in.
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
    fn write(&self, picture: &impl Bands, out: &mut dyn Write) -> Result<()> {
        // Pictures are shared with others, so they do not hold absolute paths of this machine.
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
        let vocabulary = model.labels();
        let (part, selection) = vocabulary.narrowed(&self.chosen(vocabulary)?);
        let choice = SamplerChoice {
            steps: self.steps,
            guidance_scale: self.guidance_scale,
            guidance: self.guidance.0.clone(),
        };
        let ChosenSampler { sampler, steps, guidance_scale, guidance } = model.sampler(choice)?;

        let path = self.out.clone().unwrap_or_else(|| self.default_out());
        let single_file = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("png"));
        // Only drawing into a directory can be stopped halfway: its files are complete. A single file would
        // not be.
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
            vocabulary,
            part: &part,
            selection: &selection,
            origin,
            interrupt: interrupt.as_ref(),
        };
        if single_file { job.file(&path, out).map(|()| ExitCode::SUCCESS) } else { job.directory(&path, out) }
    }

    /// Per kind the one label that is given, if one is. --attribute is of the first kind and --object of the second, whatever
    /// they are called.
    fn chosen(&self, vocabulary: &Vocabulary) -> Result<Vec<Option<u32>>> {
        let kinds = vocabulary.kinds();
        let mut chosen = vec![None; kinds.len()];
        let by_flag = [("--attribute", &self.attribute), ("--object", &self.object)];
        for (place, (flag, name)) in by_flag.into_iter().enumerate() {
            let Some(name) = name else { continue };
            let Some(kind) = kinds.get(place) else {
                bail!("{flag} names a label of a second kind, but this model has only {}", kinds[0].kind)
            };
            chosen[place] = Some(kind.index_of(name)?);
        }
        for (kind, name) in &self.label {
            let (place, kind) = vocabulary.kind(kind)?;
            let label = kind.index_of(name)?;
            if chosen[place].replace(label).is_some() {
                bail!("the label of kind `{}` is given twice", kind.kind);
            }
        }
        Ok(chosen)
    }

    /// Named after the labels that are given.
    fn default_out(&self) -> PathBuf {
        let by_flag = [&self.attribute, &self.object].into_iter().flatten();
        let given: Vec<&str> =
            by_flag.chain(self.label.iter().map(|(_, name)| name)).map(String::as_str).collect();
        if given.is_empty() { "matrix.png".into() } else { format!("{}.png", given.join("_")).into() }
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
    /// The part of the vocabulary that was asked for.
    part: &'a Vocabulary,
    selection: &'a [Combination],
    origin: Origin<'a>,
    /// Present if drawing can be stopped: for a directory, whose files are complete.
    interrupt: Option<&'a Interrupt>,
}

impl Job<'_> {
    /// One picture, or a grid of all.
    fn file(&self, path: &Path, out: &mut dyn Write) -> Result<()> {
        let combinations = self.combinations();
        let px = self.batches.image_px * if combinations.len() == 1 { self.args.scale as usize } else { 1 };
        check_fits(combinations.len(), px).context("name a directory by --out")?;
        let started = Instant::now();
        let bar = ProgressBar::new(combinations.len() as u64);
        let images = self.batches.images(0, &combinations, &mut |done| bar.set_position(done as u64))?;
        bar.finish_and_clear();
        let secs = started.elapsed().as_secs_f64();
        let record = self.record(path, self.selection, secs);
        if combinations.len() == 1 {
            record.write(&self.args.enlarge(&images.get(0)?)?, out)
        } else {
            record.write(&self.grid(&images)?, out)
        }
    }

    /// A file for each picture. They are drawn and written part by part: there may be more than fit into memory.
    fn directory(&self, path: &Path, out: &mut dyn Write) -> Result<ExitCode> {
        let combinations = self.combinations();
        let batch = self.batches.batch();
        let bar = ProgressBar::new(combinations.len() as u64);
        for (number, part) in combinations.chunks(batch).enumerate() {
            let first = number * batch;
            let started = Instant::now();
            let drawn = self.batches.images(first, part, &mut |done| {
                bar.set_position((first + done) as u64);
            });
            let raised = self.interrupt.filter(|interrupt| interrupt.is_raised());
            if let (Err(_), Some(interrupt)) = (&drawn, raised) {
                bar.finish_and_clear();
                tracing::info!(
                    "stopped: {first} of {} pictures are in {}",
                    combinations.len(),
                    path.display()
                );
                return Ok(interrupt.exit_code());
            }
            let (images, secs) = (drawn?, started.elapsed().as_secs_f64());
            for (index, combination) in part.iter().enumerate() {
                let picture = self.args.enlarge(&images.get(index)?)?;
                let number = (first + index) % self.args.count as usize;
                let file = path.join(format!("{}-{number:04}.png", self.vocabulary.folder_name(combination)));
                self.record(&file, &[*combination], secs).write(&picture, out)?;
            }
        }
        bar.finish_and_clear();
        Ok(ExitCode::SUCCESS)
    }

    /// Labelled rows and columns: the first kind by the second, or for several pictures of each combination, combinations by number.
    fn grid(&self, images: &Tensor) -> Result<Below<GridBands>> {
        let count = self.args.count as usize;
        if count > 1 {
            let row_labels =
                self.selection.iter().map(|labels| self.vocabulary.folder_name(labels)).collect();
            let grid = GridPicture { columns: count, row_labels, ..GridPicture::default() };
            return Ok(Below(vec![grid.bands(images, PixelRange::Symmetric)?]));
        }
        let matrix = Matrix {
            vocabulary: self.part,
            per_combination: 1,
            row_label: &|name, _| name.to_owned(),
            title: None,
            framed: None,
        };
        matrix.bands(images, PixelRange::Symmetric)
    }

    /// The combination of every picture.
    fn combinations(&self) -> Vec<Combination> {
        let count = self.args.count as usize;
        self.selection.iter().flat_map(|combination| std::iter::repeat_n(*combination, count)).collect()
    }

    fn record<'a>(&'a self, file: &'a Path, combinations: &[Combination], secs: f64) -> Record<'a> {
        let pairs = combinations.iter().map(|labels| self.vocabulary.folder_name(labels)).collect();
        Record { file, pairs, origin: &self.origin, secs }
    }
}

/// `KIND=LABEL`, as it is typed.
fn kind_and_label(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((kind, label)) => Ok((kind.to_owned(), label.to_owned())),
        None => Err("it must be KIND=LABEL, as in colour=red".to_owned()),
    }
}
