//! Size and shape of the network.

use anyhow::Result;
use cccm_sched::{PredictionType, ScheduleConfig};
use cccm_unet::{Arch, UNetConfig};

use crate::setting::{required, settings};

settings! {
    /// Size and shape of the network. A student's are its teacher's: there they only say what to expect.
    pub struct NetworkSettings under "Network" {
        /// Architecture: unetic mixes the labels into every block, unet adds them to the time embedding
        arch: Arch => { value_names: &["NAME"] },

        /// Channels of the first level
        emb_size: usize => { value_names: &["N"], aliases: &["model-channels"] },

        /// Channels of each level, as multiples of --emb-size
        channel_mult: Vec<usize> => { value_names: &["N"] },

        /// Residual blocks per level
        num_res_blocks: usize => { value_names: &["N"] },

        /// Groups of every normalisation; a network with few channels needs fewer
        norm_groups: usize => { value_names: &["N"] },

        /// Training timesteps of the noise schedule
        num_timestep: usize => { value_names: &["N"] },
    }
}

impl NetworkSettings {
    /// The network of the teacher that these describe.
    /// - `dropout`: in every residual block
    ///
    /// # Errors
    /// When one of them is not set.
    pub fn unet(&self, dropout: f64) -> Result<UNetConfig> {
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
    ///
    /// # Errors
    /// When the number of timesteps is not set.
    pub fn schedule(&self) -> Result<ScheduleConfig> {
        Ok(ScheduleConfig {
            train_timesteps: required(self.num_timestep, "num_timestep")?,
            prediction_type: PredictionType::Epsilon,
            ..ScheduleConfig::default()
        })
    }

    /// Every setting given here that a loaded teacher contradicts, as `flag: given, the teacher has …`.
    pub fn contradictions(&self, unet: &UNetConfig, schedule: &ScheduleConfig) -> Vec<String> {
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
