//! Event files, as TensorBoard reads them.

mod messages;

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use prost::Message;
use toml::{Table, Value};

use messages::{
    Event, EventKind, HParamKind, HParamValue, HParamsContent, HParamsPluginData, Image, PluginData,
    SessionLog, SessionStartInfo, Summary, SummaryMetadata, SummaryValue, ValueKind,
};

/// What the first event of a file says.
const FILE_VERSION: &str = "brain.Event:2";
/// `SessionLog.SessionStatus.START`: readers drop what an older file says of this step and later ones.
const SESSION_START: i32 = 1;
const HPARAMS_PLUGIN: &str = "hparams";
const HPARAMS_START_TAG: &str = "_hparams_/session_start_info";
const RGB_CHANNELS: i32 = 3;
/// The mask of checksums within data that is itself checksummed (TensorFlow, `lib/hash/crc32c.h`).
const CRC_MASK_DELTA: u32 = 0xa282_ead8;

/// An event file in the making; every event is in the file once its call returns.
pub struct EventFile {
    file: File,
    path: PathBuf,
}

impl EventFile {
    /// A new file in `dir`, beside those of earlier starts of the run.
    /// - `first_step`: the first step that it will have events of
    ///
    /// # Errors
    /// Those of the file system, with the path.
    pub fn create(dir: &Path, first_step: u64) -> Result<Self> {
        std::fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
        let secs = wall_time() as u64;
        // Readers take the files of a folder in the order of their names.
        let name = format!("events.out.tfevents.{secs:010}.{}", std::process::id());
        let (file, path) = create_new(dir, &name)?;
        let mut events = Self { file, path };
        events.write(0, EventKind::FileVersion(FILE_VERSION.to_owned()))?;
        events.write(first_step, EventKind::SessionLog(SessionLog { status: SESSION_START }))?;
        Ok(events)
    }

    /// Numbers of one step.
    ///
    /// # Errors
    /// Those of the file system, with the path.
    pub fn scalars(&mut self, step: u64, scalars: &[(&str, f64)]) -> Result<()> {
        let value =
            |(tag, value): &(&str, f64)| SummaryValue::new(tag, ValueKind::SimpleValue(*value as f32));
        self.summary(step, scalars.iter().map(value).collect())
    }

    /// A PNG file.
    ///
    /// # Errors
    /// Those of the file system, with the path.
    pub fn image(&mut self, step: u64, tag: &str, png: Vec<u8>, (width, height): (u32, u32)) -> Result<()> {
        let image = Image {
            height: height as i32,
            width: width as i32,
            colorspace: RGB_CHANNELS,
            encoded_image_string: png,
        };
        self.summary(step, vec![SummaryValue::new(tag, ValueKind::Image(image))])
    }

    /// The settings of the run, for the table of hyper-parameters.
    ///
    /// # Errors
    /// Those of the file system, with the path.
    pub fn hyper_parameters(&mut self, name: &str, settings: &Table) -> Result<()> {
        let Summary { value } = hyper_parameters(name, wall_time(), settings);
        self.summary(0, value)
    }

    fn summary(&mut self, step: u64, value: Vec<SummaryValue>) -> Result<()> {
        self.write(step, EventKind::Summary(Summary { value }))
    }

    fn write(&mut self, step: u64, what: EventKind) -> Result<()> {
        let event = Event { wall_time: wall_time(), step: step as i64, what: Some(what) };
        let record = record(&event.encode_to_vec());
        self.file.write_all(&record).with_context(|| format!("cannot write {}", self.path.display()))
    }
}

fn hyper_parameters(name: &str, start_time_secs: f64, settings: &Table) -> Summary {
    let start = SessionStartInfo {
        hparams: settings.iter().map(|(name, value)| (name.clone(), hyper_parameter(value))).collect(),
        group_name: name.to_owned(),
        start_time_secs,
    };
    let content = HParamsPluginData { version: 0, data: Some(HParamsContent::SessionStartInfo(start)) };
    let plugin = PluginData { plugin_name: HPARAMS_PLUGIN.to_owned(), content: content.encode_to_vec() };
    let metadata = Some(SummaryMetadata { plugin_data: Some(plugin) });
    Summary { value: vec![SummaryValue { tag: HPARAMS_START_TAG.to_owned(), metadata, value: None }] }
}

/// The value as TensorBoard can show it: lists and tables become text.
fn hyper_parameter(value: &Value) -> HParamValue {
    let kind = match value {
        Value::Integer(number) => HParamKind::Number(*number as f64),
        Value::Float(number) => HParamKind::Number(*number),
        Value::Boolean(yes) => HParamKind::Bool(*yes),
        Value::String(text) => HParamKind::Text(text.clone()),
        other => HParamKind::Text(other.to_string()),
    };
    HParamValue { kind: Some(kind) }
}

/// A record of TensorFlow's `TFRecord` format: length, its checksum, data, its checksum, all little-endian.
fn record(data: &[u8]) -> Vec<u8> {
    let length = (data.len() as u64).to_le_bytes();
    [&length[..], &masked_crc(&length), data, &masked_crc(data)].concat()
}

fn masked_crc(data: &[u8]) -> [u8; 4] {
    crc32c::crc32c(data).rotate_right(15).wrapping_add(CRC_MASK_DELTA).to_le_bytes()
}

fn wall_time() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

/// Width and height of a PNG file, which its first chunk says.
///
/// # Errors
/// When it is none.
pub fn png_size(png: &[u8]) -> io::Result<(u32, u32)> {
    let reader = png::Decoder::new(io::Cursor::new(png)).read_info().map_err(io::Error::other)?;
    Ok((reader.info().width, reader.info().height))
}

/// Creates a file of this name, or of this name with a number if it exists: in containers, processes may have
/// the same id.
fn create_new(dir: &Path, name: &str) -> Result<(File, PathBuf)> {
    let mut path = dir.join(name);
    let mut number = 0;
    loop {
        match File::create_new(&path) {
            Ok(file) => return Ok((file, path)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => number += 1,
            Err(error) => return Err(error).with_context(|| format!("cannot create {}", path.display())),
        }
        path = dir.join(format!("{name}.{number}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Written by TensorBoard's own code, `tests/fixtures/event_files.py`.
    const FIXTURE: &[u8] = include_bytes!("../../tests/fixtures/events.bin");

    #[test]
    fn the_bytes_are_those_that_tensorboard_writes() {
        let value = |tag: &str, value| SummaryValue::new(tag, ValueKind::SimpleValue(value));
        let scalars = Summary { value: vec![value("train/loss", 0.25), value("train/lr", 0.001)] };
        let settings = "lr = 0.5".parse::<Table>().unwrap();
        let events = [
            Event { wall_time: 1.5, step: 0, what: Some(EventKind::FileVersion(FILE_VERSION.to_owned())) },
            Event { wall_time: 2.5, step: 7, what: Some(EventKind::Summary(scalars)) },
            Event {
                wall_time: 3.5,
                step: 0,
                what: Some(EventKind::Summary(hyper_parameters("a run", 3.5, &settings))),
            },
        ];
        let bytes: Vec<u8> = events.iter().flat_map(|event| record(&event.encode_to_vec())).collect();
        assert_eq!(bytes, FIXTURE);
    }

    #[test]
    fn a_file_starts_with_its_version_and_where_it_goes_on() -> Result<()> {
        let dir = tempfile::tempdir()?;
        let mut events = EventFile::create(dir.path(), 7)?;
        let mut png = Vec::new();
        png::Encoder::new(&mut png, 2, 1).write_header()?.write_image_data(&[0, 0])?;
        assert_eq!(png_size(&png)?, (2, 1));
        events.image(8, "grid/target", png, (2, 1))?;
        let bytes = std::fs::read(&events.path)?;
        let (mut rest, mut read) = (&bytes[..], Vec::new());
        while let Some((length, after)) = rest.split_first_chunk::<8>() {
            let length = u64::from_le_bytes(*length) as usize;
            read.push(Event::decode(&after[4..4 + length])?);
            rest = &after[4 + length + 4..];
        }
        assert_eq!(read[0].what, Some(EventKind::FileVersion(FILE_VERSION.to_owned())));
        assert_eq!(
            (read[1].step, &read[1].what),
            (7, &Some(EventKind::SessionLog(SessionLog { status: SESSION_START })))
        );
        assert!(
            matches!(&read[2].what, Some(EventKind::Summary(Summary { value })) if value[0].tag == "grid/target")
        );
        Ok(())
    }
}
