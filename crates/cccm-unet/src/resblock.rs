//! Residual block of both architectures.

use candle_core::{Context, Result, Tensor};
use candle_nn::VarBuilder;
use cccm_kernels::{ImageLayout, add, cat_channels, dropout, recompute};
use cccm_sched::Draws;

use crate::layers::{Conv, Linear, NormSilu};
use crate::names::label_prefix;
use crate::{Arch, UNetConfig};

/// What every block of a network sees besides its features. SiLU has been applied to all embeddings already,
/// so that not every block repeats it: `(batch, 4 · model_channels)`.
#[derive(Clone)]
pub(crate) struct BlockInputs<'a> {
    /// Time, in `unet` with the labels added.
    pub(crate) time: Tensor,
    /// Labels, kind by kind; none in `unet`.
    pub(crate) labels: Vec<Tensor>,
    /// Source of dropout masks, while training.
    pub(crate) draws: Option<&'a Draws>,
    /// Which activations a block keeps for the backward pass.
    pub(crate) keep: Keep,
    /// Order of the features.
    pub(crate) layout: ImageLayout,
}

/// Which activations a block keeps for the backward pass.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Keep {
    /// Everything.
    #[default]
    Everything,
    /// Nothing: the block is computed twice.
    Nothing,
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

/// How `unetic` blocks take labels: each kind projected to its share of the channels, mixed in by a 1×1 convolution.
#[derive(Clone, Debug)]
struct LabelMix {
    projections: Vec<Linear>,
    bottleneck: Conv,
}

impl ResBlock {
    /// - `labels`: how many kinds there are
    pub(crate) fn new(
        cfg: &UNetConfig,
        labels: usize,
        (in_channels, out_channels): (usize, usize),
        vb: VarBuilder<'_>,
    ) -> Result<Self> {
        let (dim, groups) = (cfg.embedding_dim(), cfg.norm_groups);
        let label_mix = || -> Result<LabelMix> {
            let projection = |kind: usize| {
                // If the channels do not divide evenly, the first kinds get one more.
                let width = out_channels / labels + usize::from(kind < out_channels % labels);
                Linear::new(dim, width, vb.pp(format!("{}_proj.1", label_prefix(kind))))
            };
            Ok(LabelMix {
                projections: (0..labels).map(projection).collect::<Result<_>>()?,
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

    /// - `x`: features in the order of `inputs.layout`; with `skip`, the channels of both together are the block's
    pub(crate) fn forward(
        &self,
        x: &Tensor,
        skip: Option<&Tensor>,
        inputs: &BlockInputs<'_>,
    ) -> Result<Tensor> {
        if inputs.keep == Keep::Everything {
            return self.compute(x, skip, inputs);
        }
        let (block, draws, layout) = (self.clone(), inputs.draws.cloned(), inputs.layout);
        let labels = inputs.labels.len();
        let compute = move |tensors: &[Tensor]| {
            let (time, rest) = tensors.split_first().context("too few tensors")?;
            let (labels, images) = rest.split_at_checked(labels).context("too few tensors")?;
            let (x, skip) = images.split_first().context("too few tensors")?;
            let (labels, keep) = (labels.to_vec(), Keep::Everything);
            let inputs = BlockInputs { time: time.clone(), labels, draws: draws.as_ref(), keep, layout };
            block.compute(x, skip.first(), &inputs)
        };
        let tensors = std::iter::once(&inputs.time).chain(&inputs.labels).chain([x]).chain(skip);
        let tensors: Vec<_> = tensors.cloned().collect();
        recompute(compute, &tensors, &self.parameters())
    }

    /// Everything that [`Self::compute`] uses beside its inputs.
    fn parameters(&self) -> Vec<Tensor> {
        let mix = self.label_mix.iter().flat_map(|LabelMix { projections, bottleneck }| {
            projections.iter().map(Linear::parameters).chain([bottleneck.parameters()])
        });
        let shortcut = self.shortcut.iter().map(Conv::parameters);
        [self.norm_1.parameters(), self.conv_1.parameters(), self.time_proj.parameters()]
            .into_iter()
            .chain(mix)
            .chain([self.norm_2.parameters(), self.conv_2.parameters()])
            .chain(shortcut)
            .flatten()
            .collect()
    }

    /// Additions and multiplications of its convolutions for `px` times `px` pixels. The label map's half of
    /// the bottleneck is not a convolution.
    pub(crate) fn flops(&self, px: usize) -> u64 {
        let bottleneck = self.label_mix.iter().map(|mix| mix.bottleneck.flops(px) / 2);
        let shortcut = self.shortcut.iter().map(|conv| conv.flops(px));
        self.conv_1.flops(px) + self.conv_2.flops(px) + bottleneck.chain(shortcut).sum::<u64>()
    }

    fn compute(&self, x: &Tensor, skip: Option<&Tensor>, inputs: &BlockInputs<'_>) -> Result<Tensor> {
        let layout = inputs.layout;
        let x = &match skip {
            Some(skip) => cat_channels(x, skip, layout)?,
            None => x.clone(),
        };
        let h = self.norm_1.forward(x, layout)?;
        let time = self.time_proj.forward(&inputs.time)?;
        let h = match &self.label_mix {
            None => self.conv_1.forward_shifted(&h, &time, layout)?,
            Some(LabelMix { projections, bottleneck }) => {
                let h = self.conv_1.forward(&h, layout)?;
                let labels = projections.iter().zip(&inputs.labels);
                let parts = labels.map(|(projection, label)| projection.forward(label));
                let map = Tensor::cat(&parts.collect::<Result<Vec<_>>>()?, 1)?;
                bottleneck.forward_with_map(&h, &map, &time, layout)?
            }
        };
        let h = self.drop(self.norm_2.forward(&h, layout)?, inputs)?;
        let h = self.conv_2.forward(&h, layout)?;
        match &self.shortcut {
            Some(shortcut) => add(&h, &shortcut.forward(x, layout)?),
            None => add(&h, x),
        }
    }

    fn drop(&self, h: Tensor, inputs: &BlockInputs<'_>) -> Result<Tensor> {
        let Some(draws) = inputs.draws.filter(|_| self.dropout > 0.0) else { return Ok(h) };
        let keys = draws.keys(&format!("dropout.{}", self.name));
        dropout(&h, &keys, self.dropout, inputs.layout)
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device};
    use cccm_sched::Streams;

    use super::*;

    /// What a network of one's own gets from [`Draws::dropout_mask`] is what these blocks drop.
    #[test]
    fn masks_are_those_of_the_draws() -> Result<()> {
        let draws = Streams::new(3).draws(5, 2..4);
        let ones = Tensor::ones((2, 3, 5, 7), DType::F32, &Device::Cpu)?;
        let dropped = dropout(&ones, &draws.keys("mask"), 0.15, ImageLayout::ChannelsFirst)?;
        let mask = draws.dropout_mask("mask", &[3, 5, 7], 0.15)?;
        let values = |t: &Tensor| t.flatten_all()?.to_vec1::<f32>();
        assert_eq!(values(&dropped)?, values(&mask)?);
        Ok(())
    }
}
