//! Lists beside images: `metadata.jsonl` and `metadata.csv`, with a column `file_name` and one for each kind of labels.

use std::cell::Cell;
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use serde_json::{Map, Value};

use crate::rows::{Columns, Rows};
use crate::{Error, OnBadImage, Result, listing::ListedImages, place::Place};

/// Names of such lists, as the `datasets` library has them.
pub(crate) const NAMES: [&str; 2] = ["metadata.jsonl", "metadata.csv"];
/// The column with the names of files.
const FILE_NAME: &str = "file_name";
/// Bytes of the longest line that is read.
const LONGEST_LINE: u64 = 1 << 20;

/// Reads the list of a folder.
/// - `known`: kinds of labels, whose columns are read
pub(crate) fn read(list: &Path, columns: &Columns<'_>) -> Result<Rows<String>> {
    let file = File::open(list).map_err(|source| Error::Io { path: list.to_owned(), source })?;
    let reader = BufReader::new(file);
    let is_csv = list.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("csv"));
    if is_csv { read_csv(list, reader, columns) } else { read_jsonl(list, reader, columns) }
}

/// The files of the rows, and how many images of the folder no row names.
pub(crate) fn find(list: &Path, rows: Rows<String>, on_missing: OnBadImage) -> Result<(Rows<Place>, usize)> {
    let dir = list.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let images = ListedImages::of(dir)?;
    let (total, mut missing, mut seen) = (rows.len(), Vec::new(), HashMap::new());
    let mut twice = None;
    let found = rows.filter_map(|name, line| {
        let Some(path) = images.find(&name) else {
            missing.push(name);
            return None;
        };
        if let Some(first) = seen.insert(path.clone(), line) {
            twice.get_or_insert((line, format!("`{name}` stands in line {first} already")));
        }
        Some(Place::File(path))
    });
    if let Some((line, problem)) = twice {
        return Err(Error::Line { path: list.to_owned(), line, problem });
    }
    if !missing.is_empty() {
        const NAMED: usize = 5;
        let first = missing.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
        let (dir, count) = (dir.to_owned(), missing.len());
        let error = Error::MissingImages { dir, count, total, first };
        match on_missing {
            OnBadImage::Stop => return Err(error),
            OnBadImage::Skip => tracing::warn!("going on without them: {error}"),
        }
    }
    Ok((found, images.len() - seen.len()))
}

fn read_jsonl(path: &Path, mut reader: impl BufRead, columns: &Columns<'_>) -> Result<Rows<String>> {
    let mut rows = columns.rows();
    let mut line = Vec::new();
    for number in 1.. {
        line.clear();
        let read = (&mut reader).take(LONGEST_LINE + 1).read_until(b'\n', &mut line);
        read.map_err(|source| Error::Io { path: path.to_owned(), source })?;
        let bad = |problem: String| Error::Line { path: path.to_owned(), line: number, problem };
        if line.is_empty() {
            break;
        }
        if line.len() as u64 > LONGEST_LINE {
            return Err(bad(format!("it is longer than {LONGEST_LINE} bytes")));
        }
        let text = line.trim_ascii();
        if text.is_empty() {
            continue;
        }
        let row: Map<String, Value> =
            serde_json::from_slice(text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text))
                .map_err(|error| bad(format!("it is no JSON object: {error}")))?;
        let cell = |column: &str| row.get(column).map(label_text);
        let Some(name) = cell(FILE_NAME).flatten() else {
            return Err(bad(no_column(FILE_NAME, row.keys().map(String::as_str))));
        };
        let mut labels = Vec::new();
        for column in columns.names() {
            match cell(column) {
                Some(Some(label)) => labels.push(label),
                Some(None) => return Err(bad(format!("`{column}` is no text and no number"))),
                None => return Err(bad(no_column(column, row.keys().map(String::as_str)))),
            }
        }
        rows.push(name, &labels, number).map_err(bad)?;
    }
    Ok(rows)
}

/// A label as text; numbers and truth values as JSON has them.
pub(crate) fn label_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(value) => Some(value.to_string()),
        _ => None,
    }
}

fn read_csv(path: &Path, reader: impl Read, columns: &Columns<'_>) -> Result<Rows<String>> {
    let bad = |line: usize, problem: String| Error::Line { path: path.to_owned(), line, problem };
    let broken = |error: csv::Error| {
        let line = error.position().map_or(1, |position| position.line() as usize);
        bad(line, format!("it is no row of a table with commas: {error}"))
    };
    let ration = Rc::new(Cell::new(LONGEST_RECORD));
    let reader = Rationed { inner: reader, left: Rc::clone(&ration) };
    let mut table = csv::ReaderBuilder::new().flexible(false).from_reader(reader);
    let header = table.headers().map_err(broken)?.clone();
    let names = || header.iter().map(|name| name.trim_start_matches('\u{feff}').trim());
    let place = |column: &str| {
        names().position(|name| name == column).ok_or_else(|| bad(1, no_column(column, names())))
    };
    let file_name = place(FILE_NAME)?;
    let kinds: Vec<usize> = columns.names().map(place).collect::<Result<_>>()?;
    let mut rows = columns.rows();
    let mut record = csv::StringRecord::new();
    while table.read_record(&mut record).map_err(broken)? {
        ration.set(LONGEST_RECORD);
        let line = record.position().map_or(0, |position| position.line() as usize);
        let cell = |place: usize| record.get(place).unwrap_or_default().trim().to_owned();
        let labels: Vec<String> = kinds.iter().map(|place| cell(*place)).collect();
        rows.push(cell(file_name), &labels, line).map_err(|problem| bad(line, problem))?;
    }
    Ok(rows)
}

/// Bytes that may be read for one record: a quote that is never closed would take the rest of the file.
const LONGEST_RECORD: u64 = LONGEST_LINE + (64 << 10);

/// A reader of so many bytes until somebody sets another number.
struct Rationed<R> {
    inner: R,
    left: Rc<Cell<u64>>,
}

impl<R: Read> Read for Rationed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.left.get();
        if left == 0 {
            return Err(io::Error::other(format!(
                "a row is longer than {LONGEST_LINE} bytes: a quote may be open"
            )));
        }
        let most = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let count = self.inner.read(&mut buffer[..most])?;
        self.left.set(left - count as u64);
        Ok(count)
    }
}

/// What to say where a column is not there.
pub(crate) fn no_column<'a>(column: &str, found: impl Iterator<Item = &'a str>) -> String {
    let found: Vec<&str> = found.collect();
    let hint =
        if column == FILE_NAME { "" } else { "; --kind names the columns of labels, as in --kind colour" };
    format!("there is no column `{column}`, but {}{hint}", cccm_labels::listed(&found))
}

/// The list in a folder, if there is one.
pub(crate) fn list_in(dir: &Path) -> Result<Option<PathBuf>> {
    let found: Vec<PathBuf> = NAMES.iter().map(|name| dir.join(name)).filter(|path| path.is_file()).collect();
    match &found[..] {
        [] => Ok(None),
        [one] => Ok(Some(one.clone())),
        [first, second, ..] => Err(Error::TwoLists { first: first.clone(), second: second.clone() }),
    }
}
