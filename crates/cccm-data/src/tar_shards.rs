//! Tar shards as the `webdataset` library has them: `KEY.jpg` beside `KEY.json` with a field for each kind of labels, or beside `KEY.cls`.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Map, Value};

use crate::listing::is_image_name;
use crate::metadata::{label_text, no_column};
use crate::place::{Place, Shard, ShardBytes, Within};
use crate::rows::{Columns, Rows};
use crate::{Error, Result};

/// Bytes of the longest entry with labels.
const LONGEST_LABELS: u64 = 1 << 20;

/// What tar archives are made of, in bytes.
const BLOCK: u64 = 512;

/// Reads the headers of shards, and the entries with labels; images stay where they are.
pub(crate) fn read(shards: &[PathBuf], columns: &Columns<'_>) -> Result<(Rows<Place>, usize)> {
    let (mut rows, mut alone) = (columns.rows(), 0);
    for (number, path) in shards.iter().enumerate() {
        let opening = if number < MOST_OPEN { Opening::Once } else { Opening::EachTime };
        alone += read_shard(path, opening, columns, &mut rows)?;
    }
    Ok((rows, alone))
}

/// Shards that stay open; systems allow a process a thousand files or so.
const MOST_OPEN: usize = 200;

/// How often a shard is opened.
#[derive(Clone, Copy)]
enum Opening {
    Once,
    EachTime,
}

/// What belongs to one key.
#[derive(Default)]
struct Sample {
    image: Option<Place>,
    json: Option<Vec<u8>>,
    class: Option<Vec<u8>>,
}

impl Sample {
    /// The labels, of JSON where there is some.
    fn labels(&self, columns: &Columns<'_>) -> Option<Result<Vec<String>, String>> {
        match (&self.json, &self.class) {
            (Some(json), _) => Some(of_json(json, columns)),
            (None, Some(class)) => Some(of_class(class, columns)),
            (None, None) => None,
        }
    }
}

/// Adds the samples of a shard, in its order; gives the number of its images that have no labels.
fn read_shard(path: &Path, opening: Opening, columns: &Columns<'_>, rows: &mut Rows<Place>) -> Result<usize> {
    let unreadable = |source| Error::Io { path: path.to_owned(), source };
    let bad = |problem: String| Error::Shard { path: path.to_owned(), problem };
    let file = File::open(path).map_err(unreadable)?;
    let file_len = file.metadata().map_err(unreadable)?.len();
    let bytes = match opening {
        Opening::Once => ShardBytes::Open(Arc::new(file.try_clone().map_err(unreadable)?)),
        Opening::EachTime => ShardBytes::Reopened(file_len),
    };
    let shard = Arc::new(Shard { path: path.to_owned(), bytes });
    let mut archive = tar::Archive::new(BufReader::new(file));
    // Archives may have been put one behind the other.
    archive.set_ignore_zeros(true);
    let (mut order, mut samples) = (Vec::new(), HashMap::<String, Sample>::new());
    let mut last = 0;
    let entries = archive.entries_with_seek().map_err(unreadable)?;
    for entry in entries {
        let mut entry = entry.map_err(|error| bad(format!("it is no tar archive, or cut off: {error}")))?;
        last = entry.raw_file_position().saturating_add(entry.size());
        if !entry.header().entry_type().is_file() {
            continue;
        }
        let name = entry.path().map_err(|error| bad(error.to_string()))?.to_string_lossy().into_owned();
        let Some((key, extension)) = key_of(&name) else { continue };
        let (start, len) = (entry.raw_file_position(), entry.size());
        if start.checked_add(len).is_none_or(|end| end > file_len) {
            return Err(bad(format!("it is cut off within `{name}`")));
        }
        let sample = samples.entry(key.to_owned()).or_insert_with(|| {
            order.push(key.to_owned());
            Sample::default()
        });
        if is_image_name(Path::new(&name)) {
            let within = Within { shard: Arc::clone(&shard), name: name.as_str().into(), start, len };
            if sample.image.replace(Place::Within(Box::new(within))).is_some() {
                return Err(bad(format!("`{key}` has two images")));
            }
        } else if ["json", "cls"].contains(&extension) {
            if len > LONGEST_LABELS {
                return Err(bad(format!("`{name}` is longer than {LONGEST_LABELS} bytes")));
            }
            let mut content = Vec::new();
            entry.read_to_end(&mut content).map_err(unreadable)?;
            let place = if extension == "cls" { &mut sample.class } else { &mut sample.json };
            *place = Some(content);
        }
    }
    if last.next_multiple_of(BLOCK) >= file_len {
        return Err(bad("it is cut off: the empty block at its end is missing".to_owned()));
    }
    let samples = order.into_iter().filter_map(|key| Some((samples.remove(&key)?, key)));
    add_samples(samples, columns, rows).map_err(bad)
}

/// Adds those that have labels; gives the number of images without.
fn add_samples(
    samples: impl Iterator<Item = (Sample, String)>,
    columns: &Columns<'_>,
    rows: &mut Rows<Place>,
) -> Result<usize, String> {
    let mut alone = 0;
    for (sample, key) in samples {
        let labels = sample.labels(columns);
        match (sample.image, labels) {
            (Some(image), Some(labels)) => {
                let pushed = labels.and_then(|labels| rows.push(image, &labels, 0));
                pushed.map_err(|problem| format!("`{key}`: {problem}"))?;
            }
            (Some(_), None) => alone += 1,
            (None, _) => {}
        }
    }
    Ok(alone)
}

/// The key of a sample, and what of it the entry is: all before and behind the first dot of the name of its file.
fn key_of(name: &str) -> Option<(&str, &str)> {
    let name = name.strip_prefix("./").unwrap_or(name);
    let start = name.rfind('/').map_or(0, |slash| slash + 1);
    let dot = start + name[start..].find('.')?;
    (dot > start).then(|| (&name[..dot], &name[dot + 1..]))
}

fn of_json(content: &[u8], columns: &Columns<'_>) -> Result<Vec<String>, String> {
    let object: Map<String, Value> =
        serde_json::from_slice(content).map_err(|error| format!("it is no JSON object: {error}"))?;
    let label = |column: &str| match object.get(column) {
        Some(value) => label_text(value).ok_or_else(|| format!("`{column}` is no text and no number")),
        None => Err(no_column(column, object.keys().map(String::as_str))),
    };
    columns.names().map(label).collect()
}

/// The label of the only kind.
fn of_class(content: &[u8], columns: &Columns<'_>) -> Result<Vec<String>, String> {
    let text = std::str::from_utf8(content).map_err(|_| "it is no text".to_owned())?.trim();
    match columns.names().count() {
        1 => Ok(vec![text.to_owned()]),
        kinds => {
            Err(format!("it holds one label, and there are {kinds} kinds: --kind NAME names one kind alone"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_end_at_the_first_dot_of_the_file() {
        assert_eq!(key_of("./a.b/000.seg.png"), Some(("a.b/000", "seg.png")));
        assert_eq!(key_of("x.jpg"), Some(("x", "jpg")));
        assert_eq!(key_of("a.b/README"), None);
        assert_eq!(key_of(".hidden"), None);
    }
}
