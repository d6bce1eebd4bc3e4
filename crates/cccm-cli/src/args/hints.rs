//! What the tensors of a checkpoint do not tell.

#![expect(clippy::doc_markdown, reason = "help texts are read in a terminal")]

use anyhow::{Result, bail};
use cccm::preset_hints;
use cccm_data::Preset;
use cccm_labels::KnownLabels;
use cccm_sched::{BetaSchedule, ScheduleConfig, StudentConfig};
use cccm_unet::Hints;

use super::LabelArgs;

/// What the tensors of a checkpoint do not tell. Sizes of the network, numbers of labels and timesteps are read off them.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "What tensors do not tell")]
pub(crate) struct HintArgs {
    #[command(flatten)]
    pub(crate) labels: LabelArgs,

    /// Which network of a checkpoint, where it holds several: the key of its state dictionary, as model or ema, or what the names
    /// of its tensors begin with
    #[arg(long, value_name = "KEY")]
    pub(crate) key: Option<String>,

    /// Side of the images, in pixels [default: the preset's]
    #[arg(long, value_name = "PX")]
    pub(crate) img_size: Option<usize>,

    /// Groups of every normalisation [default: 32]
    #[arg(long, value_name = "N")]
    pub(crate) norm_groups: Option<usize>,

    /// Noise schedule: linear, scaled_linear, squaredcos_cap_v2, sigmoid [default: linear]
    #[arg(long, value_name = "NAME", value_parser = parse_beta_schedule)]
    pub(crate) beta_schedule: Option<BetaSchedule>,

    /// Guidance weights that a student was trained with [default: 2.6 3.0]
    #[arg(long, value_names = ["LOW", "HIGH"], num_args = 2)]
    pub(crate) w_interval: Option<Vec<f64>>,

    /// Solver steps that a student was trained with [default: 50]
    #[arg(long, value_name = "N")]
    pub(crate) num_ddim_timesteps: Option<usize>,
}

impl HintArgs {
    /// These flags as the library takes them.
    pub(crate) fn hints(&self) -> Result<Hints> {
        let preset = self.labels.preset.map(preset_hints).unwrap_or_default();
        let labels = match self.labels.known()? {
            Some(KnownLabels::Kinds(_)) => {
                bail!("--kind needs the labels here, as in --kind colour=red,green")
            }
            Some(KnownLabels::All(vocabulary)) => Some(vocabulary),
            None => None,
        };
        let schedule = self
            .beta_schedule
            .clone()
            .map(|beta_schedule| ScheduleConfig { beta_schedule, ..ScheduleConfig::default() });
        let given = Hints {
            labels,
            image_px: self.img_size,
            norm_groups: self.norm_groups,
            schedule,
            student: self.student(),
            key: self.key.clone(),
        };
        Ok(given.or(preset))
    }

    fn student(&self) -> Option<StudentConfig> {
        let default = StudentConfig::default();
        let w_interval = match self.w_interval.as_deref() {
            Some(&[low, high]) => Some((low, high)),
            _ => None,
        };
        (w_interval.is_some() || self.num_ddim_timesteps.is_some()).then(|| StudentConfig {
            w_interval: w_interval.unwrap_or(default.w_interval),
            num_ddim_timesteps: self.num_ddim_timesteps.unwrap_or(default.num_ddim_timesteps),
            ..default
        })
    }
}

/// An error with its causes, and below them what to do in terms of this program.
pub(crate) fn hinted(error: cccm_unet::Error, hint: &str) -> anyhow::Error {
    anyhow::anyhow!("{:#}\nhint: {hint}", anyhow::Error::from(error))
}

/// The flags that name labels one by one.
const SPELT_OUT: &str = "--attributes … --objects … in the order of the training, or for other kinds of labels --kind NAME=LABEL,… for each";

/// Names the flags that mend an error of the library about hints.
pub(crate) fn with_hint(error: cccm_unet::Error) -> anyhow::Error {
    let hint = match &error {
        cccm_unet::Error::NotInTensors { what, .. } if what.contains("labels") => {
            format!("give --preset NAME, or {SPELT_OUT}")
        }
        cccm_unet::Error::NotInTensors { .. } => "give --img-size PX".to_owned(),
        cccm_unet::Error::LabelCounts { found, .. } => {
            let fits = |preset: &Preset| preset.vocabulary().null() == *found;
            match Preset::ALL.into_iter().find(fits) {
                Some(preset) => format!("--preset {preset} has as many"),
                None => format!("give {SPELT_OUT}"),
            }
        }
        cccm_unet::Error::InvalidConfig { field: "norm_groups", .. } => "give --norm-groups N".to_owned(),
        _ => return error.into(),
    };
    hinted(error, &hint)
}

fn parse_beta_schedule(text: &str) -> Result<BetaSchedule, String> {
    serde_json::from_value(text.into())
        .map_err(|_| "known schedules: linear, scaled_linear, squaredcos_cap_v2, sigmoid".to_owned())
}
