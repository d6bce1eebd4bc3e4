//! A checkpoint of the published size, converted: on demand, with `CCCM_SLOW_TESTS=1`.

#![cfg(test)]

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Read, Seek, Write};
use std::path::Path;
use std::time::Instant;

use cccm_labels::Vocabulary;
use cccm_unet::{Hints, ModelFiles, Tables, UNet, UNetConfig, convert};
use cccm_weights::load_weights;

/// An archive as `torch.save` makes it of `{"epoch": …, "model": …, "optimizer": …}`, in as much as readers look at it.
struct Writer {
    file: BufWriter<File>,
    directory: Vec<u8>,
    entries: u16,
}

impl Writer {
    fn entry(
        &mut self,
        name: &str,
        len: usize,
        content: &mut dyn Iterator<Item = Vec<u8>>,
    ) -> anyhow::Result<()> {
        let at = self.file.stream_position()? as u32;
        // Flags, method, time, date, checksum.
        let mut fields = vec![0; 12];
        fields.extend((len as u32).to_le_bytes().repeat(2));
        fields.extend([name.len() as u8, 0, 0, 0]);
        self.file.write_all(&[b"PK\x03\x04\0\0", &fields[..], name.as_bytes()].concat())?;
        for bytes in content {
            self.file.write_all(&bytes)?;
        }
        self.directory.extend([b"PK\x01\x02\0\0\0\0", &fields[..], &[0; 10]].concat());
        self.directory.extend(at.to_le_bytes());
        self.directory.extend(name.as_bytes());
        self.entries += 1;
        Ok(())
    }

    fn finish(mut self) -> anyhow::Result<()> {
        let start = self.file.stream_position()? as u32;
        self.file.write_all(&self.directory)?;
        let entries = self.entries.to_le_bytes();
        let len = (self.directory.len() as u32).to_le_bytes();
        self.file.write_all(
            &[b"PK\x05\x06\0\0\0\0", &entries[..], &entries, &len, &start.to_le_bytes(), &[0; 2]].concat(),
        )?;
        Ok(self.file.into_inner()?.sync_all()?)
    }
}

fn text(text: &str) -> Vec<u8> {
    [&b"X"[..], &(text.len() as u32).to_le_bytes(), text.as_bytes()].concat()
}

fn tensor(key: usize, shape: &[usize]) -> Vec<u8> {
    let number = |number: usize| [&b"J"[..], &(number as i32).to_le_bytes()].concat();
    let numbers = |numbers: &[usize]| {
        [b"(".to_vec(), numbers.iter().flat_map(|n| number(*n)).collect(), b"t".to_vec()].concat()
    };
    let strides: Vec<usize> = (0..shape.len()).map(|dim| shape[dim + 1..].iter().product()).collect();
    [
        b"ctorch._utils\n_rebuild_tensor_v2\n((".to_vec(),
        text("storage"),
        b"ctorch\nFloatStorage\n".to_vec(),
        text(&key.to_string()),
        text("cpu"),
        number(shape.iter().product()),
        b"tQK\0".to_vec(),
        numbers(shape),
        numbers(&strides),
        b"\x89ccollections\nOrderedDict\n)RtR".to_vec(),
    ]
    .concat()
}

fn write_checkpoint(path: &Path, shapes: &BTreeMap<String, Vec<usize>>) -> anyhow::Result<()> {
    let mut pickle =
        [b"\x80\x02}(".to_vec(), text("epoch"), b"K\x3c".to_vec(), text("model"), b"}(".to_vec()].concat();
    for (key, (name, shape)) in shapes.iter().enumerate() {
        pickle.extend([text(&format!("module.{name}")), tensor(key, shape)].concat());
    }
    pickle.extend([b"u".to_vec(), text("optimizer"), b"}(".to_vec()].concat());
    for (index, shape) in shapes.values().chain(shapes.values()).enumerate() {
        pickle.extend([text(&index.to_string()), tensor(shapes.len() + index, shape)].concat());
    }
    pickle.extend(b"uu.");

    let mut writer = Writer { file: BufWriter::new(File::create(path)?), directory: Vec::new(), entries: 0 };
    writer.entry("archive/data.pkl", pickle.len(), &mut std::iter::once(pickle.clone()))?;
    let all = shapes.values().chain(shapes.values()).chain(shapes.values());
    for (key, shape) in all.enumerate() {
        let count: usize = shape.iter().product();
        let value = |at: usize| ((at % 1000) as f32 / 1000.0 + key as f32).to_le_bytes();
        let mut chunks = (0..count)
            .step_by(1 << 16)
            .map(|start| (start..count.min(start + (1 << 16))).flat_map(value).collect::<Vec<u8>>());
        writer.entry(&format!("archive/data/{key}"), 4 * count, &mut chunks)?;
    }
    writer.finish()
}

/// Seconds that reading a file takes by itself.
fn read_secs(path: &Path) -> anyhow::Result<f64> {
    let started = Instant::now();
    let (mut file, mut buffer) = (File::open(path)?, vec![0; 1 << 20]);
    while file.read(&mut buffer)? > 0 {}
    Ok(started.elapsed().as_secs_f64())
}

/// The most memory that this process ever had, where Linux tells.
fn peak_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? << 10)
}

#[test]
fn a_checkpoint_of_the_published_size_is_converted_in_little_memory() -> anyhow::Result<()> {
    if std::env::var_os("CCCM_SLOW_TESTS").is_none() {
        return Ok(());
    }
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("teacher.pth");
    let specs = UNet::specs(&UNetConfig::celeba_128(), Tables::new([4, 2]))?;
    let shapes = specs.into_iter().map(|(name, spec)| (name, spec.shape)).collect();
    write_checkpoint(&path, &shapes)?;
    let gigabytes = std::fs::metadata(&path)?.len() as f64 / 1e9;
    assert!(gigabytes > 1.25, "{gigabytes}");

    let hints = Hints {
        labels: Some(Vocabulary::of_pairs(vec!["a", "b", "c", "d"], vec!["e", "f"])?),
        image_px: Some(128),
        ..Hints::default()
    };
    let read = read_secs(&path)?;
    let started = Instant::now();
    let files = ModelFiles::in_directory(dir.path());
    assert_eq!(convert(&path, &hints, &files)?.unet, UNetConfig::celeba_128());
    let secs = started.elapsed().as_secs_f64();
    let peak = peak_bytes();
    assert!(peak.is_none_or(|bytes| bytes < 1_000_000_000), "{peak:?} bytes");

    let (first, values) =
        load_weights(&files.weights)?.pop_first().ok_or_else(|| anyhow::anyhow!("empty"))?;
    assert_eq!(values.dims(), shapes[&first]);
    assert_eq!(values.flatten_all()?.narrow(0, 0, 2)?.to_vec1::<f32>()?, [0.0, 0.001]);
    say(&format!("{gigabytes:.2} GB: read {read:.2} s, converted {secs:.2} s, peak {peak:?} bytes"));
    Ok(())
}

#[expect(clippy::print_stderr, reason = "what this test measured is worth seeing")]
fn say(text: &str) {
    eprintln!("{text}");
}
