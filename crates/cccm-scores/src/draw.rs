//! Pictures to be judged, drawn part by part and kept, so that a stopped evaluation goes on.

use cccm_run::write_atomically;
use cccm_sample::BatchSampler;
use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result};
use candle_core::{DType, Device, Tensor};
use cccm_data::Combination;
use cccm_render::{PixelRange, levels};
use safetensors::SafeTensors;

use crate::progress::{Progress, Watch, Work};
use crate::settings::SampleSettings;

/// Pictures in one file.
const PART: usize = 400;
/// Their names, around their numbers.
const PART_PREFIX: &str = "part-";
const PART_SUFFIX: &str = ".safetensors";
const SETTINGS: &str = "settings.json";
const IMAGES: &str = "images";
const SECS: &str = "secs";

/// Pictures, and what drawing them took.
pub struct Samples {
    /// The combination of each picture.
    pub combinations: Vec<Combination>,
    /// `(n, 3, px, px)`, `f32` in `[-1, 1]`, on the CPU: of 256 levels, as files would hold them.
    pub images: Tensor,
    /// Seconds that it took.
    pub secs: f64,
}

impl Samples {
    /// Samples the pictures, or reads those that are kept in `folder` from the same settings.
    /// - `combinations`: one picture each, in this order
    ///
    /// # Errors
    /// When the sampler fails, or the folder cannot be read or written.
    pub fn draw(
        sampler: &BatchSampler<'_>,
        combinations: Vec<Combination>,
        settings: &SampleSettings,
        folder: &Path,
        watch: &Watch<'_>,
    ) -> Result<Self> {
        prepare(folder, settings)?;
        let told = |done| watch(Progress { work: Work::Pictures, done, total: combinations.len() });
        let (mut parts, mut secs) = (Vec::new(), 0.0);
        for (number, part) in combinations.chunks(PART).enumerate() {
            let path = part_path(folder, number);
            let first = number * PART;
            let (images, part_secs) = if path.exists() {
                read(&path)?
            } else {
                let started = Instant::now();
                let drawn = sampler.images(first, part, &mut |done| told(first + done))?;
                let part_secs = started.elapsed().as_secs_f64();
                let images = levels(&drawn, PixelRange::Symmetric)?;
                write(&path, &images, part_secs)?;
                (images, part_secs)
            };
            told(first + part.len());
            secs += part_secs;
            parts.push(images);
        }
        Ok(Self { combinations, images: from_levels(&Tensor::cat(&parts, 0)?)?, secs })
    }

    /// Samples the pictures, and keeps none.
    ///
    /// # Errors
    /// When the sampler fails.
    pub fn fresh(sampler: &BatchSampler<'_>, combinations: Vec<Combination>) -> Result<Self> {
        let started = Instant::now();
        let images = sampler.images(0, &combinations, &mut |_| ())?;
        let secs = started.elapsed().as_secs_f64();
        Ok(Self { combinations, images: from_levels(&levels(&images, PixelRange::Symmetric)?)?, secs })
    }
}

/// From levels 0 to 255 to `f32` in `[-1, 1]`.
pub(crate) fn from_levels(levels: &Tensor) -> candle_core::Result<Tensor> {
    levels.to_dtype(DType::F32)?.affine(1.0 / 127.5, -1.0)
}

/// Prepares the folder for pictures with these settings: pictures with other settings are removed.
fn prepare(folder: &Path, settings: &SampleSettings) -> Result<()> {
    if found_settings(folder).as_ref() == Some(settings) {
        return Ok(());
    }
    let parts = parts(folder).with_context(|| format!("cannot list {}", folder.display()))?;
    for part in parts {
        std::fs::remove_file(&part).with_context(|| format!("cannot remove {}", part.display()))?;
    }
    write_atomically(&folder.join(SETTINGS), &serde_json::to_vec_pretty(settings)?)
}

/// The settings of the pictures in a folder. None if they cannot be read: the pictures' settings are unknown
/// then.
pub(crate) fn found_settings(folder: &Path) -> Option<SampleSettings> {
    let text = std::fs::read(folder.join(SETTINGS)).ok()?;
    serde_json::from_slice(&text).ok()
}

pub(crate) fn part_path(folder: &Path, number: usize) -> PathBuf {
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

pub(crate) fn read(path: &Path) -> Result<(Tensor, f64)> {
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
    use cccm_run::Dtype;

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
