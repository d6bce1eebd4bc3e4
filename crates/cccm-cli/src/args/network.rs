//! Size and shape of the network.

use cccm_sched::{PredictionType, ScheduleConfig};
use cccm_unet::{Arch, UNetConfig};
use serde::{Deserialize, Serialize};

use super::required;

/// Size and shape of the network. A student's are its teacher's: there they only say what to expect.
#[derive(Clone, Debug, Default, clap::Args, Serialize, Deserialize)]
#[command(next_help_heading = "Network")]
#[serde(default)]
pub(crate) struct NetworkArgs {
    /// Architecture: unetic mixes the labels into every block, unet adds them to the time
    #[arg(long, value_name = "NAME", value_parser = parse_arch)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) arch: Option<Arch>,

    /// Channels of the first level
    #[arg(long, value_name = "N", alias = "model-channels")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) emb_size: Option<usize>,

    /// Channels of each level, as multiples of --emb-size
    #[arg(long, value_name = "N", num_args = 1.., action = clap::ArgAction::Set)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) channel_mult: Option<Vec<usize>>,

    /// Residual blocks per level
    #[arg(long, value_name = "N")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) num_res_blocks: Option<usize>,

    /// Groups of every normalisation; a network with few channels needs fewer
    #[arg(long, value_name = "N")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) norm_groups: Option<usize>,

    /// Training timesteps of the noise schedule
    #[arg(long, value_name = "N")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) num_timestep: Option<usize>,
}

impl NetworkArgs {
    /// The teacher these describe.
    pub(crate) fn unet(&self, dropout: f64) -> anyhow::Result<UNetConfig> {
        Ok(UNetConfig {
            arch: required(self.arch, "arch")?,
            model_channels: required(self.emb_size, "emb_size")?,
            channel_mult: required(self.channel_mult.clone(), "channel_mult")?,
            num_res_blocks: required(self.num_res_blocks, "num_res_blocks")?,
            norm_groups: required(self.norm_groups, "norm_groups")?,
            guidance_dim: None,
            dropout,
        })
    }

    /// Its noise schedule.
    pub(crate) fn schedule(&self) -> anyhow::Result<ScheduleConfig> {
        Ok(ScheduleConfig {
            train_timesteps: required(self.num_timestep, "num_timestep")?,
            prediction_type: PredictionType::Epsilon,
            ..ScheduleConfig::default()
        })
    }

    /// Every setting given here that a loaded teacher contradicts, as `flag: given, the teacher has …`.
    pub(crate) fn contradictions(&self, unet: &UNetConfig, schedule: &ScheduleConfig) -> Vec<String> {
        fn differs<T: PartialEq + std::fmt::Debug>(flag: &str, given: Option<&T>, has: &T) -> Option<String> {
            let given = given.filter(|given| *given != has)?;
            Some(format!("--{flag} is {given:?}, but the teacher has {has:?}"))
        }
        [
            differs("arch", self.arch.as_ref(), &unet.arch),
            differs("emb-size", self.emb_size.as_ref(), &unet.model_channels),
            differs("channel-mult", self.channel_mult.as_ref(), &unet.channel_mult),
            differs("num-res-blocks", self.num_res_blocks.as_ref(), &unet.num_res_blocks),
            differs("norm-groups", self.norm_groups.as_ref(), &unet.norm_groups),
            differs("num-timestep", self.num_timestep.as_ref(), &schedule.train_timesteps),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

fn parse_arch(text: &str) -> Result<Arch, String> {
    match text {
        "unetic" => Ok(Arch::Unetic),
        "unet" => Ok(Arch::Unet),
        _ => Err("known architectures: unetic, unet".to_owned()),
    }
}
