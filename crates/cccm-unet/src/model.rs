//! `config.json`: what the weights beside it are.

use std::io::{Cursor, Read};
use std::path::Path;

use candle_core::Device;
use cccm_labels::Vocabulary;
use cccm_sched::{ScheduleConfig, StudentConfig};
use cccm_weights::{Parameters, WeightFile};
use serde::{Deserialize, Serialize};

use crate::names::{WRAPPERS, canonical};
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
    /// Label kinds in the order the network takes them.
    pub labels: Vocabulary,
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
    pub fn teacher(unet: UNetConfig, image_px: usize, labels: Vocabulary, schedule: ScheduleConfig) -> Self {
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
    /// [`Error::Labels`] when there are too few or too many label kinds, or names are not fit.
    pub fn tables(&self) -> Result<Tables> {
        self.labels.validate()?;
        Ok(Tables { labels: self.labels.null(), timesteps: self.schedule.train_timesteps })
    }

    /// Checks every field, and that they agree.
    ///
    /// # Errors
    /// [`Error::InvalidConfig`] for the first value out of range; [`Error::Sched`] for one of the schedule's, [`Error::Labels`] for
    /// one of the labels.
    pub fn validate(&self) -> Result<()> {
        if self.format != Self::FORMAT {
            let want = format!("{}; a newer version of this program may know it", Self::FORMAT);
            return Err(Error::invalid("format", self.format, want));
        }
        self.unet.validate()?;
        self.unet.validate_image_px(self.image_px)?;
        self.tables()?.validate()?;
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

    /// The bytes of a config file, which must not be more than [`Self::MOST_BYTES`].
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
        let file = WeightFile::from_reader(Cursor::new(weights), origin)?.unwrapping(&WRAPPERS);
        let specs = UNet::specs(&self.unet, self.tables()?)?;
        Ok(Parameters::read(&specs, file.state_dict(canonical)?, device)?)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn teacher() -> ModelConfig {
        let labels = Vocabulary::of_pairs(vec!["red", "blue"], vec!["0", "1", "2"]).unwrap();
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
    }

    #[test]
    fn names_of_labels_are_checked() {
        let read = |object: &str| {
            let mut json = serde_json::to_value(teacher()).unwrap();
            json["labels"][1]["names"][2] = object.into();
            ModelConfig::parse(json.to_string().as_bytes(), Path::new("config.json"))
        };
        read("3").unwrap();
        for name in ["0", "", "a\nb", "\u{1b}[2J", "a\u{202e}b", &"x".repeat(201)] {
            assert!(matches!(read(name), Err(Error::Labels(_))), "{name:?}");
        }
        let mut none = serde_json::to_value(teacher()).unwrap();
        none["labels"] = serde_json::json!([]);
        let error = ModelConfig::parse(none.to_string().as_bytes(), Path::new("config.json")).unwrap_err();
        assert!(matches!(error, Error::Labels(_)), "{error}");
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
