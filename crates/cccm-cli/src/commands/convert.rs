//! `cccm convert`: weights in and out of PyTorch files.

use std::ffi::OsStr;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use cccm_unet::{Hints, ModelConfig, ModelFiles};
use cccm_weights::{InspectedEntry, Inspection, Part, inspect};

use crate::args::{HintArgs, with_hint};

/// Convert weights between PyTorch (.pth) and safetensors files, or list what a file holds
///
/// A checkpoint's optimizer state is left out. Size and shape of the network are read off its tensors; what they do not
/// tell comes from the flags, or from the config beside IN. OUT gets a config beside it. Nothing in a file is executed.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct ConvertArgs {
    /// A .pth or .safetensors file, told by its content
    #[arg(value_name = "IN", required_unless_present = "list")]
    from: Option<PathBuf>,

    /// A .safetensors or .pth file, or a directory for model.safetensors and config.json
    #[arg(value_name = "OUT", required_unless_present = "list")]
    to: Option<PathBuf>,

    /// List names, shapes and types of what a file holds, and convert nothing
    #[arg(long, value_name = "FILE", conflicts_with_all = ["from", "to"])]
    list: Option<PathBuf>,

    #[command(flatten)]
    hints: HintArgs,
}

impl ConvertArgs {
    /// Converts or lists.
    pub(crate) fn run(self, out: &mut dyn Write) -> Result<()> {
        match (&self.list, &self.from, &self.to) {
            (Some(file), ..) => list(&inspect(file, self.hints.key.as_deref())?, out),
            (None, Some(from), Some(to)) => self.convert(from, to),
            _ => bail!("IN and OUT are needed, or --list FILE"),
        }
    }

    fn convert(&self, from: &Path, to: &Path) -> Result<()> {
        let files = target(to)?;
        let hints = self.hints.hints()?.or(beside(from)?);
        let config = cccm_unet::convert(from, &hints, &files).map_err(with_hint)?;
        let labels: Vec<_> = config.labels.counts().iter().map(usize::to_string).collect();
        tracing::info!(
            "{:?} of {} channels, multiples {:?}, {} blocks per level; {} labels; {} px",
            config.role,
            config.unet.model_channels,
            config.unet.channel_mult,
            config.unet.num_res_blocks,
            labels.join(" × "),
            config.image_px,
        );
        tracing::info!("wrote {} and {}", files.weights.display(), files.config.display());
        Ok(())
    }
}

/// Where the weights and their config go; folders are made.
fn target(to: &Path) -> Result<ModelFiles> {
    let extension = to.extension().and_then(OsStr::to_str).map(str::to_ascii_lowercase);
    let files = match extension.as_deref() {
        Some("safetensors" | "pth" | "pt") => {
            let config = match to.file_stem() {
                Some(stem) if stem == "model" => to.with_file_name("config.json"),
                _ => to.with_extension("config.json"),
            };
            ModelFiles { weights: to.to_owned(), config }
        }
        None => ModelFiles::in_directory(to),
        _ if to.is_dir() => ModelFiles::in_directory(to),
        _ => bail!("{} ends in neither .safetensors nor .pth, and is no directory", to.display()),
    };
    if let Some(folder) = files.weights.parent() {
        cccm_files::create_dirs(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    }
    Ok(files)
}

/// What a config beside the file says, if there is one.
fn beside(from: &Path) -> Result<Hints> {
    match ModelFiles::locate(from) {
        Ok(files) => Ok(Hints::from_config(&ModelConfig::load(&files.config)?)),
        // There is no config. If the file itself is bad, reading it will say so.
        Err(cccm_unet::Error::NoModel { .. }) => Ok(Hints::default()),
        Err(error) => Err(error.into()),
    }
}

fn list(inspection: &Inspection, out: &mut dyn Write) -> Result<()> {
    let Inspection { form, file_bytes, state_key, entries, parts } = inspection;
    writeln!(out, "{form}, {}", size(*file_bytes))?;
    for (name, part) in parts {
        match part {
            Part::Fact(text) => writeln!(out, "{}: {}", name.escape_debug(), text.escape_debug())?,
            Part::Tensors { count, bytes } => {
                writeln!(out, "{}: {count} tensors, {}", name.escape_debug(), size(*bytes))?;
            }
        }
    }
    let key = state_key.as_ref().map(|key| format!("{key}: ")).unwrap_or_default();
    let values: usize =
        entries.iter().filter_map(|entry| Some(entry.shape.as_ref()?.iter().product::<usize>())).sum();
    let bytes = entries.iter().map(|entry| entry.bytes).sum();
    writeln!(out, "{key}{} tensors, {values} values, {}", entries.len(), size(bytes))?;
    let width = entries.iter().map(|entry| entry.name.chars().count()).max().unwrap_or_default();
    for InspectedEntry { name, kind, shape, .. } in entries {
        let shape = shape.as_ref().map(|shape| format!("{shape:?}")).unwrap_or_default();
        let (name, kind) = (name.escape_debug().to_string(), kind.escape_debug().to_string());
        writeln!(out, "  {name:<width$}  {kind:<8}  {shape}")?;
    }
    Ok(())
}

/// Bytes, in the unit that suits them.
fn size(bytes: u64) -> String {
    const UNITS: [(&str, u64); 3] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    let unit = UNITS.into_iter().find(|(_, unit)| bytes >= *unit);
    unit.map_or_else(
        || format!("{bytes} bytes"),
        |(name, unit)| format!("{:.1} {name}", bytes as f64 / unit as f64),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_a_file_do_not_reach_the_terminal_as_they_are() {
        let evil = "a\u{1b}[2J\nb";
        let inspection = Inspection {
            form: "PyTorch",
            file_bytes: 1,
            state_key: Some("model".to_owned()),
            entries: vec![InspectedEntry { name: evil.into(), kind: evil.into(), shape: None, bytes: 0 }],
            parts: vec![(evil.into(), Part::Fact(evil.into()))],
        };
        let mut out = Vec::new();
        list(&inspection, &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(!text.contains('\u{1b}') && text.lines().count() == 4, "{text:?}");
    }
}
