//! Size and shape of a network.

use cccm_labels::Combination;
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// How labels enter the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Arch {
    /// Every residual block mixes a map of both projected labels into its features through a 1×1 convolution.
    Unetic,
    /// Labels are added to the time embedding, which every residual block adds to its features.
    Unet,
}

/// Size and shape of a U-Net (Ho et al. 2020, appendix B, without attention). Label counts and image size are
/// arguments: they belong to the data.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UNetConfig {
    /// How labels enter.
    pub arch: Arch,
    /// Channels of the first level, even, a multiple of `norm_groups`; embeddings are 4 times as wide.
    pub model_channels: usize,
    /// Channels of each level, as multiples of `model_channels`; each further level halves the image.
    pub channel_mult: Vec<usize>,
    /// Residual blocks per level on the way down; one more on the way up. At least 1.
    pub num_res_blocks: usize,
    /// Groups of every normalisation. Published: 32; small networks need fewer, since one channel per group
    /// wipes out every channel's mean.
    #[serde(default = "published_norm_groups")]
    pub norm_groups: usize,
    /// Width of the guidance embedding, at least 4: makes the network a student. A teacher has none.
    #[serde(default)]
    pub guidance_dim: Option<usize>,
    /// Dropout in the second half of each block while training a teacher, in `0..1`. Published: 0.15.
    #[serde(default = "published_dropout")]
    pub dropout: f64,
}

fn published_norm_groups() -> usize {
    UNetConfig::PUBLISHED_NORM_GROUPS
}

fn published_dropout() -> f64 {
    UNetConfig::PUBLISHED_DROPOUT
}

impl UNetConfig {
    /// Width of the guidance embedding in the published students.
    pub const GUIDANCE_DIM: usize = 128;
    pub(crate) const PUBLISHED_NORM_GROUPS: usize = 32;
    pub(crate) const PUBLISHED_DROPOUT: f64 = 0.15;

    /// The published `CelebA` teacher, 128×128, 107 million parameters.
    pub fn celeba_128() -> Self {
        Self::published(vec![1, 2, 4, 4])
    }

    /// The published Colored MNIST teacher, 64×64.
    pub fn colored_mnist_64() -> Self {
        Self::published(vec![1, 2, 2, 2])
    }

    /// The small network of the built-in teacher, 32×32, 1.3 million parameters.
    pub fn colored_mnist_32() -> Self {
        Self { model_channels: 32, num_res_blocks: 1, norm_groups: 8, ..Self::published(vec![1, 2, 2]) }
    }

    fn published(channel_mult: Vec<usize>) -> Self {
        Self {
            arch: Arch::Unetic,
            model_channels: 128,
            channel_mult,
            num_res_blocks: 2,
            norm_groups: published_norm_groups(),
            guidance_dim: None,
            dropout: published_dropout(),
        }
    }

    /// The student of this network: the same with a guidance input of the given width.
    #[must_use]
    pub fn student(&self, guidance_dim: usize) -> Self {
        Self { guidance_dim: Some(guidance_dim), ..self.clone() }
    }

    /// Width of the time and label embeddings.
    pub(crate) fn embedding_dim(&self) -> usize {
        4 * self.model_channels
    }

    /// What the image size must be divisible by, so that every level can halve it.
    pub fn image_divisor(&self) -> usize {
        1 << self.channel_mult.len().saturating_sub(1)
    }

    /// Checks every field.
    ///
    /// # Errors
    /// [`Error::InvalidConfig`] for the first value out of range.
    pub fn validate(&self) -> Result<()> {
        // A bound on everything that is multiplied keeps a nonsense file from asking for nonsense memory.
        const MAX_CHANNELS: usize = 1 << 14;
        const MAX_LEVELS: usize = 10;
        let channels = self.model_channels;
        if channels == 0 || channels > MAX_CHANNELS || !channels.is_multiple_of(2) {
            return Err(Error::invalid(
                "model_channels",
                channels,
                format!("even, between 2 and {MAX_CHANNELS}"),
            ));
        }
        let levels = &self.channel_mult;
        let wide = |m: &usize| *m == 0 || m.saturating_mul(channels) > MAX_CHANNELS;
        if levels.is_empty() || levels.len() > MAX_LEVELS || levels.iter().any(wide) {
            let want = format!("1 to {MAX_LEVELS} factors above 0, of at most {MAX_CHANNELS} channels");
            return Err(Error::invalid("channel_mult", format!("{levels:?}"), want));
        }
        if self.num_res_blocks == 0 || self.num_res_blocks > 64 {
            return Err(Error::invalid("num_res_blocks", self.num_res_blocks, "between 1 and 64"));
        }
        if self.norm_groups == 0 || !channels.is_multiple_of(self.norm_groups) {
            let want = format!("a divisor of `model_channels` ({channels})");
            return Err(Error::invalid("norm_groups", self.norm_groups, want));
        }
        if let Some(width) = self.guidance_dim.filter(|width| !(4..=MAX_CHANNELS).contains(width)) {
            return Err(Error::invalid("guidance_dim", width, format!("between 4 and {MAX_CHANNELS}")));
        }
        if !(0.0..1.0).contains(&self.dropout) {
            return Err(Error::invalid("dropout", self.dropout, "at least 0 and below 1"));
        }
        Ok(())
    }

    /// Checks that every level can halve images of this size, and that the features of one image fit into memory: no side of
    /// more than 4096 pixels, no level of more than 2^30 values.
    ///
    /// # Errors
    /// [`Error::InvalidConfig`] when not, naming the sizes that fit.
    pub fn validate_image_px(&self, image_px: usize) -> Result<()> {
        const MAX_PX: usize = 1 << 12;
        const MAX_VALUES: u64 = 1 << 30;
        if image_px > MAX_PX {
            return Err(Error::invalid("image_px", image_px, format!("at most {MAX_PX}")));
        }
        let widest = self.channel_mult.iter().enumerate().map(|(level, mult)| {
            let side = (image_px >> level.min(usize::BITS as usize - 1)) as u64;
            (self.model_channels as u64).saturating_mul(*mult as u64).saturating_mul(side * side)
        });
        if widest.max().is_some_and(|values| values > MAX_VALUES) {
            let got = format!("{image_px}, with {} channels", self.model_channels);
            return Err(Error::invalid("image_px", got, "smaller, or the network: one image fills memory"));
        }
        let divisor = self.image_divisor();
        if image_px == 0 || !image_px.is_multiple_of(divisor) {
            let want = format!("a multiple of {divisor}, since {} levels halve it", self.channel_mult.len());
            return Err(Error::invalid("image_px", image_px, want));
        }
        Ok(())
    }
}

/// Sizes of the embedding tables. They follow from the data and the noise schedule, not from a
/// [`UNetConfig`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tables {
    /// Number of labels of each kind, at least 1 each. The number is also the kind's null token.
    pub labels: Combination,
    /// Training timesteps of the schedule, at least 2.
    pub timesteps: usize,
}

impl Tables {
    /// Tables for so many labels of each kind under the published schedule of 1000 timesteps.
    pub fn new(labels: impl Into<Combination>) -> Self {
        Self { labels: labels.into(), timesteps: 1000 }
    }

    /// Checks every field.
    ///
    /// # Errors
    /// [`Error::InvalidConfig`] for the first value out of range.
    pub fn validate(&self) -> Result<()> {
        const MAX_ROWS: usize = 1 << 20;
        // Every combination is drawn and scored. A larger number is a mistake, and its lists would fill
        // memory.
        const MAX_COMBINATIONS: usize = 1 << 20;
        let counts = || self.labels.iter().map(|count| *count as usize);
        let got = || counts().map(|count| count.to_string()).collect::<Vec<_>>().join(" × ");
        if self.labels.is_empty() || counts().any(|count| !(1..=MAX_ROWS).contains(&count)) {
            return Err(Error::invalid("labels", got(), format!("between 1 and {MAX_ROWS} of each kind")));
        }
        if counts().fold(1, usize::saturating_mul) > MAX_COMBINATIONS {
            return Err(Error::invalid("labels", got(), format!("at most {MAX_COMBINATIONS} combinations")));
        }
        if !(2..=MAX_ROWS).contains(&self.timesteps) {
            return Err(Error::invalid(
                "train_timesteps",
                self.timesteps,
                format!("between 2 and {MAX_ROWS}"),
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_values_are_named() {
        let good = UNetConfig::colored_mnist_32();
        good.validate().unwrap();
        let field = |cfg: UNetConfig| match cfg.validate() {
            Err(Error::InvalidConfig { field, .. }) => field,
            other => panic!("{other:?}"),
        };
        assert_eq!(field(UNetConfig { model_channels: 0, ..good.clone() }), "model_channels");
        assert_eq!(field(UNetConfig { model_channels: 33, ..good.clone() }), "model_channels");
        assert_eq!(field(UNetConfig { channel_mult: vec![], ..good.clone() }), "channel_mult");
        assert_eq!(field(UNetConfig { channel_mult: vec![1, 0], ..good.clone() }), "channel_mult");
        assert_eq!(field(UNetConfig { channel_mult: vec![usize::MAX], ..good.clone() }), "channel_mult");
        assert_eq!(field(UNetConfig { num_res_blocks: 0, ..good.clone() }), "num_res_blocks");
        assert_eq!(field(UNetConfig { norm_groups: 5, ..good.clone() }), "norm_groups");
        assert_eq!(field(UNetConfig { dropout: 1.0, ..good.clone() }), "dropout");
        assert_eq!(field(good.student(2)), "guidance_dim");
    }

    #[test]
    fn levels_must_be_able_to_halve_the_image() {
        let cfg = UNetConfig::colored_mnist_32();
        cfg.validate_image_px(32).unwrap();
        let error = cfg.validate_image_px(30).unwrap_err().to_string();
        assert!(error.contains("multiple of 4"), "{error}");
        assert!(cfg.validate_image_px(0).is_err());
        // Sizes that no memory holds, and that arithmetic might not.
        for px in [1 << 13, 1 << 31, 1 << 62, usize::MAX - 3] {
            assert!(cfg.validate_image_px(px).is_err(), "{px}");
        }
        let wide = UNetConfig { model_channels: 1 << 14, channel_mult: vec![1], ..cfg };
        assert!(wide.validate_image_px(1 << 12).is_err());
        UNetConfig::celeba_128().validate_image_px(1024).unwrap();
        assert!(Tables::new([1 << 11, 1 << 11]).validate().is_err());
        Tables::new([413, 674]).validate().unwrap();
        Tables::new([4; 8]).validate().unwrap();
        assert!(Tables::new([1 << 20; 8]).validate().is_err());
    }

    #[test]
    fn unknown_fields_are_refused() {
        let mut json = serde_json::to_value(UNetConfig::celeba_128()).unwrap();
        assert_eq!(serde_json::from_value::<UNetConfig>(json.clone()).unwrap(), UNetConfig::celeba_128());
        json["chanels"] = 3.into();
        assert!(serde_json::from_value::<UNetConfig>(json).unwrap_err().to_string().contains("chanels"));
    }
}
