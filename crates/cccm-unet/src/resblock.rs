//! Residual block of both architectures.

use candle_core::{Result, Tensor};
use candle_nn::VarBuilder;
use cccm_sched::Draws;

use crate::layers::{Conv, Linear, NormSilu};
use crate::names::LABELS;
use crate::{Arch, UNetConfig};

/// What every block of a network sees besides its features. All embeddings are behind their SiLU, which every
/// block would otherwise repeat: `(batch, 4 · model_channels)`.
pub(crate) struct BlockInputs<'a> {
    /// Time, in `unet` with the labels added.
    pub(crate) time: Tensor,
    /// Attribute and object.
    pub(crate) labels: [Tensor; 2],
    /// Source of dropout masks, while training.
    pub(crate) draws: Option<&'a Draws>,
}

/// Two normalised convolutions with the embeddings added between them, and a shortcut around both.
#[derive(Clone, Debug)]
pub(crate) struct ResBlock {
    name: String,
    norm_1: NormSilu,
    conv_1: Conv,
    time_proj: Linear,
    label_mix: Option<LabelMix>,
    norm_2: NormSilu,
    dropout: f64,
    conv_2: Conv,
    shortcut: Option<Conv>,
}

/// How `unetic` blocks take labels: both projected to half the channels, mixed in by a 1×1 convolution.
#[derive(Clone, Debug)]
struct LabelMix {
    projections: [Linear; 2],
    bottleneck: Conv,
}

impl ResBlock {
    pub(crate) fn new(
        cfg: &UNetConfig,
        in_channels: usize,
        out_channels: usize,
        vb: VarBuilder<'_>,
    ) -> Result<Self> {
        let (dim, groups) = (cfg.embedding_dim(), cfg.norm_groups);
        let label_mix = || -> Result<LabelMix> {
            let projection = |kind| Linear::new(dim, out_channels / 2, vb.pp(format!("{kind}_proj.1")));
            Ok(LabelMix {
                projections: [projection(LABELS[0])?, projection(LABELS[1])?],
                bottleneck: Conv::new(out_channels * 2, out_channels, 1, 1, vb.pp("bottleneck"))?,
            })
        };
        let shortcut = || Conv::new(in_channels, out_channels, 1, 1, vb.pp("shortcut"));
        Ok(Self {
            name: vb.prefix(),
            norm_1: NormSilu::new(groups, in_channels, vb.pp("block1.0"))?,
            conv_1: Conv::new(in_channels, out_channels, 3, 1, vb.pp("block1.2"))?,
            time_proj: Linear::new(dim, out_channels, vb.pp("temb_proj.1"))?,
            label_mix: (cfg.arch == Arch::Unetic).then(label_mix).transpose()?,
            norm_2: NormSilu::new(groups, out_channels, vb.pp("block2.0"))?,
            dropout: cfg.dropout,
            conv_2: Conv::new(out_channels, out_channels, 3, 1, vb.pp("block2.3"))?,
            shortcut: (in_channels != out_channels).then(shortcut).transpose()?,
        })
    }

    pub(crate) fn forward(&self, x: &Tensor, inputs: &BlockInputs<'_>) -> Result<Tensor> {
        let h = self.norm_1.forward(x)?;
        let time = self.time_proj.forward(&inputs.time)?;
        let h = match &self.label_mix {
            None => self.conv_1.forward_shifted(&h, &time)?,
            Some(LabelMix { projections: [attribute, object], bottleneck }) => {
                let h = self.conv_1.forward(&h)?;
                let [atr, obj] = &inputs.labels;
                let map = Tensor::cat(&[attribute.forward(atr)?, object.forward(obj)?], 1)?;
                bottleneck.forward_with_map(&h, &map, &time)?
            }
        };
        let h = self.drop(self.norm_2.forward(&h)?, inputs.draws)?;
        let h = self.conv_2.forward(&h)?;
        match &self.shortcut {
            Some(shortcut) => h + shortcut.forward(x)?,
            None => h + x,
        }
    }

    fn drop(&self, h: Tensor, draws: Option<&Draws>) -> Result<Tensor> {
        let Some(draws) = draws.filter(|_| self.dropout > 0.0) else { return Ok(h) };
        let (_, channels, height, width) = h.dims4()?;
        let purpose = format!("dropout.{}", self.name);
        let mask = draws.dropout_mask(&purpose, &[channels, height, width], self.dropout)?;
        &h * mask.to_dtype(h.dtype())?.to_device(h.device())?
    }
}
