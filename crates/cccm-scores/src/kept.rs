//! The pictures behind scores.

use std::path::Path;

use anyhow::Result;
use candle_core::Tensor;

use crate::draw::{found_settings, from_levels, part_path, read};
use crate::record::Record;

/// Folder of the pictures beside the scores.
const SAMPLES: &str = "samples";

/// The first pictures that are kept beside the scores of a folder, as [`Samples`](crate::Samples) has them; none if there are fewer, or if they
/// are others than those that were scored.
///
/// # Errors
/// When one is damaged, or the scores are.
pub fn first_pictures(scores: &Path, count: usize) -> Result<Option<Tensor>> {
    if found_settings(&scores.join(SAMPLES)) != Some(Record::read(scores)?.settings) {
        return Ok(None);
    }
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
