//! What the tensors of a network do not tell about it.

use std::collections::BTreeMap;

use cccm_labels::Vocabulary;
use cccm_sched::{ScheduleConfig, StudentConfig};

use crate::error::counted;
use crate::infer::infer;
use crate::{Error, ModelConfig, Result, Role, UNetConfig};

/// What the tensors of a network do not tell about it. Labels and image size must be known in the end; the
/// rest defaults to the published values.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Hints {
    /// Label kinds in the order the network takes them, with their names in index order.
    pub labels: Option<Vocabulary>,
    /// Height and width of the images.
    pub image_px: Option<usize>,
    /// Groups of every normalisation. Published: 32.
    pub norm_groups: Option<usize>,
    /// Noise schedule of the training; its number of timesteps is taken from the tensors. Published: linear.
    pub schedule: Option<ScheduleConfig>,
    /// Training facts, if the network is a student's. Published: [`StudentConfig::default`].
    pub student: Option<StudentConfig>,
    /// Which network of the file is meant, where there are several: see [`cccm_weights::WeightFile::keyed`].
    pub key: Option<String>,
}

impl Hints {
    /// Everything that a config knows.
    pub fn from_config(config: &ModelConfig) -> Self {
        Self {
            labels: Some(config.labels.clone()),
            image_px: Some(config.image_px),
            norm_groups: Some(config.unet.norm_groups),
            schedule: Some(config.schedule.clone()),
            student: config.student.clone(),
            key: None,
        }
    }

    /// These hints, with missing ones taken from `fallback`.
    #[must_use]
    pub fn or(self, fallback: Self) -> Self {
        Self {
            labels: self.labels.or(fallback.labels),
            image_px: self.image_px.or(fallback.image_px),
            norm_groups: self.norm_groups.or(fallback.norm_groups),
            schedule: self.schedule.or(fallback.schedule),
            student: self.student.or(fallback.student),
            key: self.key.or(fallback.key),
        }
    }

    /// The config of the network that has exactly these tensors.
    ///
    /// # Errors
    /// As [`infer`]; [`Error::LabelCounts`] when there are more or fewer names than labels; [`Error::NotInTensors`] when
    /// labels or image size are not given.
    pub(crate) fn config(&self, shapes: &BTreeMap<String, Vec<usize>>, origin: &str) -> Result<ModelConfig> {
        let published = UNetConfig::PUBLISHED_NORM_GROUPS;
        let (unet, tables) = infer(shapes, self.norm_groups.unwrap_or(published), origin)?;
        let not_given = |what, found: String| Error::NotInTensors { origin: origin.to_owned(), what, found };
        let labels = self.labels.clone().ok_or_else(|| {
            not_given("names of the labels", format!("; there are {}", counted(&tables.labels)))
        })?;
        let image_px = self.image_px.ok_or_else(|| {
            not_given("size of the images", format!(", a multiple of {}", unet.image_divisor()))
        })?;
        let schedule =
            ScheduleConfig { train_timesteps: tables.timesteps, ..self.schedule.clone().unwrap_or_default() };
        let student = unet.guidance_dim.map(|_| self.student.clone().unwrap_or_default());
        let role = if student.is_some() { Role::Student } else { Role::Teacher };
        let config =
            ModelConfig { format: ModelConfig::FORMAT, role, unet, image_px, labels, schedule, student };
        let given = config.tables()?.labels;
        if given != tables.labels {
            return Err(Error::LabelCounts { origin: origin.to_owned(), found: tables.labels, given });
        }
        config.validate()?;
        Ok(config)
    }
}
