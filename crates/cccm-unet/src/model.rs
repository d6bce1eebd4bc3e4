//! A model on disk: weights, and beside them the `config.json` that says what they are.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use candle_core::Device;
use cccm_sched::{LabelKind, ScheduleConfig, StudentConfig};
use serde::{Deserialize, Serialize};

use crate::weights::{io, load_weights, parse_weights, save_weights, write_atomically};
use crate::{Error, Parameters, Result, Tables, UNetConfig};

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
        for LabelKind { kind, names } in &self.labels {
            let distinct: BTreeSet<_> = names.iter().collect();
            if distinct.len() != names.len() || names.iter().any(String::is_empty) {
                let want = "a list of distinct, non-empty names";
                return Err(Error::invalid("labels", format!("`{kind}`: {names:?}"), want));
            }
        }
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
        let bytes = std::fs::read(path).map_err(|source| io("read", path, source))?;
        Self::parse(&bytes, path)
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
        write_atomically(path, self.to_json()?.as_bytes())
    }

    /// Weights in memory, checked against this config; `origin` is their name in errors.
    ///
    /// # Errors
    /// As [`parse_weights`], and [`Error::Parameters`].
    pub fn parse_parameters(&self, weights: &[u8], origin: &Path, device: &Device) -> Result<Parameters> {
        let tensors = parse_weights(weights, origin)?;
        Parameters::from_tensors(&self.unet, self.tables()?, tensors, &origin.display().to_string(), device)
    }
}

/// The two files of a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelFiles {
    /// The safetensors or PyTorch file.
    pub weights: PathBuf,
    /// The `config.json` beside it.
    pub config: PathBuf,
}

/// Where weights may lie below a directory: in a run, a model directory, a checkpoint.
const WEIGHTS_IN_DIRECTORY: [&str; 4] =
    ["model/model.safetensors", "model.safetensors", "sampling.safetensors", "target.safetensors"];

impl ModelFiles {
    /// Finds the model of a run, a model directory, a checkpoint, or a weight file of its own.
    ///
    /// # Errors
    /// [`Error::NoModel`] saying what was looked for.
    pub fn locate(path: &Path) -> Result<Self> {
        let missing = |reason: String| Error::NoModel { path: path.to_owned(), reason };
        if path.is_dir() {
            let weights = WEIGHTS_IN_DIRECTORY.iter().map(|name| path.join(name)).find(|file| file.is_file());
            let none = || missing(format!("the directory holds none of {}", WEIGHTS_IN_DIRECTORY.join(", ")));
            return Self::of_file(&weights.ok_or_else(none)?);
        }
        if !path.is_file() {
            return Err(missing("there is no such file or directory".to_owned()));
        }
        Self::of_file(path)
    }

    /// The files of a new model in a directory.
    pub fn in_directory(dir: &Path) -> Self {
        Self { weights: dir.join("model.safetensors"), config: dir.join("config.json") }
    }

    fn of_file(weights: &Path) -> Result<Self> {
        let named = weights.with_extension("config.json");
        let shared = weights.with_file_name("config.json");
        let config = if named.is_file() { named } else { shared };
        if config.is_file() {
            return Ok(Self { weights: weights.to_owned(), config });
        }
        let named = weights.with_extension("config.json");
        let reason =
            format!("{} has neither {} nor config.json beside it", weights.display(), named.display());
        Err(Error::NoModel { path: weights.to_owned(), reason })
    }

    /// Reads both files, strictly.
    ///
    /// # Errors
    /// What is wrong with either, naming it.
    pub fn load(&self, device: &Device) -> Result<(ModelConfig, Parameters)> {
        let config = ModelConfig::load(&self.config)?;
        let origin = self.weights.display().to_string();
        let tensors = load_weights(&self.weights)?;
        let parameters = Parameters::from_tensors(&config.unet, config.tables()?, tensors, &origin, device)?;
        Ok((config, parameters))
    }

    /// Writes both files, each whole or not at all; the config first, so that weights never lie alone.
    ///
    /// # Errors
    /// [`Error::Io`] when one cannot be written.
    pub fn save(&self, config: &ModelConfig, parameters: &Parameters) -> Result<()> {
        config.save(&self.config)?;
        save_weights(&self.weights, &parameters.tensors())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cccm_sched::Streams;

    fn teacher() -> ModelConfig {
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
    fn a_saved_model_is_found_from_its_run_its_directory_and_its_file() -> anyhow::Result<()> {
        let run = tempfile::tempdir()?;
        let dir = run.path().join("model");
        std::fs::create_dir(&dir)?;
        let config = teacher().student_of(16, StudentConfig::default());
        let parameters = Parameters::init(&config.unet, config.tables()?, &Streams::new(1), &Device::Cpu)?;
        let files = ModelFiles::in_directory(&dir);
        files.save(&config, &parameters)?;
        for place in [run.path(), &dir, &files.weights] {
            assert_eq!(ModelFiles::locate(place)?, files);
        }
        let (loaded, weights) = files.load(&Device::Cpu)?;
        assert_eq!(loaded, config);
        let head = |p: &Parameters| p.vars()["head.weight"].flatten_all()?.to_vec1::<f32>();
        assert_eq!(head(&weights)?, head(&parameters)?);
        Ok(())
    }

    #[test]
    fn a_bare_file_prefers_the_config_of_its_own_name() -> anyhow::Result<()> {
        let dir = tempfile::tempdir()?;
        let file = |name: &str| dir.path().join(name);
        std::fs::write(file("a.safetensors"), "")?;
        assert!(matches!(ModelFiles::locate(&file("a.safetensors")), Err(Error::NoModel { .. })));
        std::fs::write(file("config.json"), "")?;
        assert_eq!(ModelFiles::locate(&file("a.safetensors"))?.config, file("config.json"));
        std::fs::write(file("a.config.json"), "")?;
        assert_eq!(ModelFiles::locate(&file("a.safetensors"))?.config, file("a.config.json"));
        assert!(ModelFiles::locate(&file("missing")).is_err());
        Ok(())
    }

    #[test]
    fn of_a_checkpoint_the_average_that_is_sampled_is_found() -> anyhow::Result<()> {
        let dir = tempfile::tempdir()?;
        for name in ["config.json", "student.safetensors", "target.safetensors", "sampling.safetensors"] {
            std::fs::write(dir.path().join(name), "")?;
        }
        assert!(ModelFiles::locate(dir.path())?.weights.ends_with("sampling.safetensors"));
        std::fs::remove_file(dir.path().join("sampling.safetensors"))?;
        assert!(ModelFiles::locate(dir.path())?.weights.ends_with("target.safetensors"));
        Ok(())
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
