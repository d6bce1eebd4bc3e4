//! `config.json`: what the weights beside it are.

use std::collections::BTreeSet;
use std::io::{Cursor, Read};
use std::path::Path;

use candle_core::Device;
use cccm_sched::{LabelKind, ScheduleConfig, StudentConfig};
use cccm_weights::{Parameters, WeightFile};
use serde::{Deserialize, Serialize};

use crate::names::canonical;
use crate::{Error, Result, Tables, UNet, UNetConfig};

/// What a network was trained to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Predicts noise; sampled by a solver in many guided steps.
    Teacher,
    /// A consistency model; sampled in a few steps.
    Student,
}

/// Contents of `config.json`: everything besides the weights that rebuilding and sampling a network needs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelConfig {
    /// Version of this format, [`ModelConfig::FORMAT`].
    pub format: u32,
    /// What the network was trained to do.
    pub role: Role,
    /// Size and shape of the network.
    pub unet: UNetConfig,
    /// Height and width of the images.
    pub image_px: usize,
    /// Label kinds in the order the network takes them: attribute, object.
    pub labels: Vec<LabelKind>,
    /// Noise schedule of the training.
    #[serde(default)]
    pub schedule: ScheduleConfig,
    /// Training facts of a student.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub student: Option<StudentConfig>,
}

impl ModelConfig {
    /// The version written.
    pub const FORMAT: u32 = 1;
    /// Bytes of the longest `config.json` that is read: one of ordinary labels has a few thousand.
    pub const MOST_BYTES: u64 = 4 << 20;

    /// A teacher's config.
    pub fn teacher(
        unet: UNetConfig,
        image_px: usize,
        labels: Vec<LabelKind>,
        schedule: ScheduleConfig,
    ) -> Self {
        Self { format: Self::FORMAT, role: Role::Teacher, unet, image_px, labels, schedule, student: None }
    }

    /// The config of a student of this teacher.
    #[must_use]
    pub fn student_of(&self, guidance_dim: usize, student: StudentConfig) -> Self {
        let unet = UNetConfig { dropout: 0.0, ..self.unet.student(guidance_dim) };
        Self { role: Role::Student, unet, student: Some(student), ..self.clone() }
    }

    /// Rows of the network's embedding tables.
    ///
    /// # Errors
    /// [`Error::InvalidConfig`] unless there are two label kinds.
    pub fn tables(&self) -> Result<Tables> {
        let [attribute, object] = self.labels.as_slice() else {
            return Err(Error::invalid(
                "labels",
                format!("{} kinds", self.labels.len()),
                "attribute and object",
            ));
        };
        let labels = [attribute.names.len(), object.names.len()];
        Ok(Tables { labels, timesteps: self.schedule.train_timesteps })
    }

    /// Checks every field, and that they agree.
    ///
    /// # Errors
    /// [`Error::InvalidConfig`] for the first value out of range; [`Error::Sched`] for one of the schedule's.
    pub fn validate(&self) -> Result<()> {
        if self.format != Self::FORMAT {
            let want = format!("{}; a newer version of this program may know it", Self::FORMAT);
            return Err(Error::invalid("format", self.format, want));
        }
        self.unet.validate()?;
        self.unet.validate_image_px(self.image_px)?;
        self.tables()?.validate()?;
        self.labels.iter().try_for_each(check_labels)?;
        self.schedule.validate()?;
        match (self.role, &self.student, self.unet.guidance_dim) {
            (Role::Teacher, None, None) => Ok(()),
            (Role::Student, Some(student), Some(_)) => Ok(student.validate()?),
            (Role::Teacher, ..) => {
                let got = "`teacher`, with `student` or `guidance_dim` set";
                Err(Error::invalid("role", got, "`student`, or both must be absent"))
            }
            (Role::Student, ..) => {
                let got = "`student`, without `student` or `guidance_dim`";
                Err(Error::invalid("role", got, "`teacher`, or both must be there"))
            }
        }
    }

    /// Reads and checks a `config.json`.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::ConfigJson`] with the place, or what [`Self::validate`] finds.
    pub fn load(path: &Path) -> Result<Self> {
        Self::parse(&Self::read(path)?, path)
    }

    /// The bytes of such a file: no more than one may have.
    pub(crate) fn read(path: &Path) -> Result<Vec<u8>> {
        let read = || {
            let mut bytes = Vec::new();
            let file = std::fs::File::open(path)?;
            file.take(Self::MOST_BYTES + 1).read_to_end(&mut bytes)?;
            if bytes.len() as u64 > Self::MOST_BYTES {
                let problem = format!("it is larger than {} bytes, which no such file is", Self::MOST_BYTES);
                return Err(std::io::Error::new(std::io::ErrorKind::FileTooLarge, problem));
            }
            Ok(bytes)
        };
        read().map_err(Error::io("read", path))
    }

    /// [`Self::load`] of a file in memory; `path` is its name in errors.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn parse(json: &[u8], path: &Path) -> Result<Self> {
        let broken = |source| Error::ConfigJson { path: path.to_owned(), source };
        let config: Self = serde_json::from_slice(json).map_err(broken)?;
        config.validate()?;
        Ok(config)
    }

    /// The file's text.
    ///
    /// # Errors
    /// [`Error::Candle`] when a number has no JSON form, which [`Self::validate`] rules out.
    pub fn to_json(&self) -> Result<String> {
        let text = serde_json::to_string_pretty(self).map_err(candle_core::Error::wrap)?;
        Ok(text + "\n")
    }

    /// Writes `config.json`, whole or not at all.
    ///
    /// # Errors
    /// [`Error::Io`] when it cannot be written.
    pub fn save(&self, path: &Path) -> Result<()> {
        let json = self.to_json()?;
        cccm_files::write(path, json.as_bytes()).map_err(Error::io("write", path))
    }

    /// Weights in memory, checked against this config; `origin` is their name in errors.
    ///
    /// # Errors
    /// [`Error::Weights`] when they cannot be read or do not fit.
    pub fn parse_parameters(&self, weights: &[u8], origin: &Path, device: &Device) -> Result<Parameters> {
        let tensors =
            WeightFile::from_reader(Cursor::new(weights), origin)?.state_dict(canonical)?.tensors()?;
        let specs = UNet::specs(&self.unet, self.tables()?)?;
        Ok(Parameters::from_tensors(&specs, tensors, &origin.display().to_string(), device)?)
    }
}

/// Names as they may stand in lists, in commands and on a terminal: distinct, not empty, of a few words without control
/// characters. An error has one of them, not all.
fn check_labels(kind: &LabelKind) -> Result<()> {
    const MOST_CHARS: usize = 200;
    let LabelKind { kind, names } = kind;
    let shown = |name: &str| name.chars().take(MOST_CHARS).flat_map(char::escape_debug).collect::<String>();
    let mut seen = BTreeSet::new();
    for name in std::iter::once(kind).chain(names) {
        let want = if name.is_empty() {
            "a name that is not empty"
        } else if name.chars().count() > MOST_CHARS {
            "a name of at most 200 characters"
        } else if name.chars().any(is_obeyed) {
            "a name without characters that terminals obey"
        } else {
            continue;
        };
        let got = format!("`{}` of kind `{}`", shown(name), shown(kind));
        return Err(Error::invalid("labels", got, want));
    }
    match names.iter().find(|name| !seen.insert(name.as_str())) {
        Some(twice) => {
            let got = format!("`{}` of kind `{}`, twice", shown(twice), shown(kind));
            Err(Error::invalid("labels", got, "a list of distinct names"))
        }
        None => Ok(()),
    }
}

/// Whether a terminal does something else with a character than show it: controls, line ends, changes of direction.
fn is_obeyed(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn teacher() -> ModelConfig {
        let kind = |kind: &str, names: &[&str]| LabelKind {
            kind: kind.into(),
            names: names.iter().map(ToString::to_string).collect(),
        };
        let labels = vec![kind("attribute", &["red", "blue"]), kind("object", &["0", "1", "2"])];
        let unet =
            UNetConfig { model_channels: 8, channel_mult: vec![1, 2], ..UNetConfig::colored_mnist_32() };
        ModelConfig::teacher(unet, 8, labels, ScheduleConfig::default())
    }

    #[test]
    fn role_and_student_section_must_agree() {
        teacher().validate().unwrap();
        let student = teacher().student_of(16, StudentConfig::default());
        student.validate().unwrap();
        let field = |config: ModelConfig| match config.validate() {
            Err(Error::InvalidConfig { field, .. }) => field,
            other => panic!("{other:?}"),
        };
        assert_eq!(field(ModelConfig { role: Role::Teacher, ..student.clone() }), "role");
        assert_eq!(field(ModelConfig { student: None, ..student }), "role");
        assert_eq!(field(ModelConfig { format: 2, ..teacher() }), "format");
        assert_eq!(field(ModelConfig { image_px: 9, ..teacher() }), "image_px");
        let mut twice = teacher();
        twice.labels[0].names[1] = "red".into();
        assert_eq!(field(twice), "labels");
        for name in ["", "a\nb", "\u{1b}[2J", "a\u{202e}b", &"x".repeat(201)] {
            let mut bad = teacher();
            bad.labels[1].names[2] = name.into();
            assert_eq!(field(bad), "labels");
        }
    }

    #[test]
    fn an_error_does_not_repeat_a_long_list() {
        let mut config = teacher();
        config.labels[0].names = (0..5000).map(|i| format!("{i}{}", "x".repeat(190))).collect();
        let twice = config.labels[0].names[7].clone();
        config.labels[0].names.push(twice);
        let error = config.validate().unwrap_err().to_string();
        assert!(error.len() < 1000 && error.contains("`7xxx"), "{} bytes", error.len());
    }

    #[test]
    fn a_typo_in_config_json_is_named_with_its_file() -> anyhow::Result<()> {
        let text = teacher().to_json()?.replace("image_px", "image_pix");
        let error = ModelConfig::parse(text.as_bytes(), Path::new("runs/x/config.json")).unwrap_err();
        let source = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
        assert!(
            error.to_string().contains("runs/x/config.json") && source.contains("image_pix"),
            "{error}: {source}"
        );
        Ok(())
    }
}
