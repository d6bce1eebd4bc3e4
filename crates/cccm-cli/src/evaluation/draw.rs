//! Pictures to be judged, drawn part by part and kept, so that a stopped evaluation goes on.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result};
use candle_core::{DType, Device, Tensor};
use cccm_data::Pair;
use cccm_sched::GuidanceConfig;
use indicatif::{ProgressBar, ProgressStyle};
use safetensors::SafeTensors;
use serde::{Deserialize, Serialize};

use crate::args::Dtype;
use crate::files::write_atomically;
use crate::pictures::Drawing;
use crate::report::{PixelRange, levels};

/// Pictures in one file.
const PART: usize = 400;
/// Their names, around their numbers.
const PART_PREFIX: &str = "part-";
const PART_SUFFIX: &str = ".safetensors";
/// Folder of the pictures beside the scores.
const SAMPLES: &str = "samples";
const SETTINGS: &str = "settings.json";
const IMAGES: &str = "images";
const SECS: &str = "secs";

/// What decides which pictures are drawn, and how long that takes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct SampleSettings {
    /// Digest of the network.
    pub(crate) model: String,
    /// Steps per picture: evaluations of a student, guided solver steps of a teacher.
    pub(crate) steps: usize,
    pub(crate) guidance_scale: f64,
    /// Of a teacher; not in files of before there was a choice, whose pictures were guided as published.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) guidance: Option<GuidanceConfig>,
    pub(crate) seed: u64,
    pub(crate) samples_per_pair: usize,
    /// Not in files of `f32`, which is what there was before there was a choice.
    #[serde(default, skip_serializing_if = "Dtype::is_default")]
    pub(crate) dtype: Dtype,
    /// `cpu` or `cuda`; not in files of before there was a choice.
    #[serde(default = "cpu")]
    pub(crate) device: String,
    /// Of the CPU.
    pub(crate) threads: usize,
}

impl SampleSettings {
    /// Such as `2 threads`.
    pub(crate) fn machine(&self) -> String {
        let plural = if self.threads == 1 { "" } else { "s" };
        if self.device == CPU { format!("{} thread{plural}", self.threads) } else { self.device.clone() }
    }
}

const CPU: &str = "cpu";

/// A device as settings name it.
pub(crate) fn device_name(device: &Device) -> String {
    if device.is_cpu() { CPU } else { "cuda" }.to_owned()
}

fn cpu() -> String {
    CPU.to_owned()
}

/// Pictures, and what drawing them took.
pub(crate) struct Samples {
    pub(crate) pairs: Vec<Pair>,
    /// `(n, 3, px, px)`, `f32` in `[-1, 1]`, on the CPU: of 256 levels, as files would hold them.
    pub(crate) images: Tensor,
    pub(crate) secs: f64,
}

impl Samples {
    /// Draws the pictures, or reads those that are kept in `folder` from the same settings.
    /// - `pairs`: one picture each, in this order
    pub(crate) fn draw(
        drawing: &Drawing<'_>,
        pairs: Vec<Pair>,
        settings: &SampleSettings,
        folder: &Path,
    ) -> Result<Self> {
        prepare(folder, settings)?;
        let bar = ProgressBar::new(pairs.len() as u64);
        bar.set_style(ProgressStyle::with_template("{bar:30} {pos}/{len} pictures  {elapsed} < {eta}")?);
        let (mut parts, mut secs) = (Vec::new(), 0.0);
        for (number, part) in pairs.chunks(PART).enumerate() {
            let path = part_path(folder, number);
            let first = number * PART;
            let (images, part_secs) = if path.exists() {
                read(&path)?
            } else {
                let started = Instant::now();
                let drawn =
                    drawing.images(first, part, &mut |done| bar.set_position((first + done) as u64))?;
                let part_secs = started.elapsed().as_secs_f64();
                let images = levels(&drawn, PixelRange::Symmetric)?;
                write(&path, &images, part_secs)?;
                (images, part_secs)
            };
            bar.set_position((first + part.len()) as u64);
            if bar.is_hidden() {
                tracing::info!("{}/{} pictures, {part_secs:.0} s", first + part.len(), pairs.len());
            }
            secs += part_secs;
            parts.push(images);
        }
        bar.finish_and_clear();
        Ok(Self { pairs, images: from_levels(&Tensor::cat(&parts, 0)?)?, secs })
    }

    /// Draws the pictures, and keeps none.
    pub(crate) fn fresh(drawing: &Drawing<'_>, pairs: Vec<Pair>) -> Result<Self> {
        let started = Instant::now();
        let images = drawing.images(0, &pairs, &mut |_| ())?;
        let secs = started.elapsed().as_secs_f64();
        Ok(Self { pairs, images: from_levels(&levels(&images, PixelRange::Symmetric)?)?, secs })
    }
}

/// From levels 0 to 255 to `f32` in `[-1, 1]`.
fn from_levels(levels: &Tensor) -> candle_core::Result<Tensor> {
    levels.to_dtype(DType::F32)?.affine(1.0 / 127.5, -1.0)
}

/// The first pictures that are kept beside the scores of a folder, as [`Samples`] has them; none if there are fewer.
pub(crate) fn first_pictures(scores: &Path, count: usize) -> Result<Option<Tensor>> {
    let (mut parts, mut found) = (Vec::new(), 0);
    for number in 0.. {
        let part = part_path(&scores.join(SAMPLES), number);
        if found >= count || !part.exists() {
            break;
        }
        let (images, _) = read(&part)?;
        found += images.dim(0)?;
        parts.push(images);
    }
    if found < count || parts.is_empty() {
        return Ok(None);
    }
    Ok(Some(from_levels(&Tensor::cat(&parts, 0)?.narrow(0, 0, count)?)?))
}

/// Makes the folder one of these settings: what other settings left in it goes.
fn prepare(folder: &Path, settings: &SampleSettings) -> Result<()> {
    let path = folder.join(SETTINGS);
    let found = std::fs::read(&path).ok();
    let found: Option<SampleSettings> = found.and_then(|text| serde_json::from_slice(&text).ok());
    if found.as_ref() == Some(settings) {
        return Ok(());
    }
    let parts = parts(folder).with_context(|| format!("cannot list {}", folder.display()))?;
    for part in parts {
        std::fs::remove_file(&part).with_context(|| format!("cannot remove {}", part.display()))?;
    }
    write_atomically(&path, &serde_json::to_vec_pretty(settings)?)
}

fn part_path(folder: &Path, number: usize) -> PathBuf {
    folder.join(format!("{PART_PREFIX}{number:04}{PART_SUFFIX}"))
}

/// All parts that a folder holds, whether or not those before them are there.
fn parts(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut parts = Vec::new();
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with(PART_PREFIX) && name.ends_with(PART_SUFFIX) {
            parts.push(entry.path());
        }
    }
    Ok(parts)
}

fn write(path: &Path, images: &Tensor, secs: f64) -> Result<()> {
    let header = HashMap::from([(SECS.to_owned(), secs.to_string())]);
    write_atomically(path, &safetensors::serialize([(IMAGES, images)], Some(header))?)
}

fn read(path: &Path) -> Result<(Tensor, f64)> {
    let read = || -> Result<_> {
        let bytes = std::fs::read(path)?;
        let (_, header) = SafeTensors::read_metadata(&bytes)?;
        let secs = header.metadata().as_ref().and_then(|entries| entries.get(SECS));
        let secs = secs.context("its header has no `secs`")?.parse()?;
        let images = candle_core::safetensors::load_buffer(&bytes, &Device::Cpu)?.remove(IMAGES);
        Ok((images.context("it has no tensor `images`")?, secs))
    };
    read().with_context(|| format!("{} is damaged: remove it, and it is drawn anew", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_other_settings_go() -> Result<()> {
        let dir = tempfile::tempdir()?;
        let settings = SampleSettings {
            model: "a".into(),
            steps: 4,
            guidance_scale: 3.0,
            guidance: None,
            seed: 0,
            samples_per_pair: 1,
            dtype: Dtype::F32,
            device: "cpu".into(),
            threads: 2,
        };
        prepare(dir.path(), &settings)?;
        let images = Tensor::arange(0u8, 12, &Device::Cpu)?.reshape((1, 3, 2, 2))?;
        write(&part_path(dir.path(), 0), &images, 0.25)?;
        prepare(dir.path(), &settings)?;
        let (again, secs) = read(&part_path(dir.path(), 0))?;
        assert_eq!((again.flatten_all()?.to_vec1::<u8>()?, secs), ((0..12).collect(), 0.25));
        // Part 1 was removed, as one that is damaged is.
        write(&part_path(dir.path(), 2), &images, 0.25)?;
        prepare(dir.path(), &SampleSettings { threads: 1, ..settings })?;
        assert!(parts(dir.path())?.is_empty());
        Ok(())
    }
}
