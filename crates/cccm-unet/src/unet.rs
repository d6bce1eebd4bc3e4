//! The network: way down, middle, way up, with skips between.

use candle_core::{DType, Result, Tensor, bail};
use candle_nn::VarBuilder;
use cccm_kernels::{ImageLayout, recompute, upsample_nearest_2x};
use cccm_labels::Combination;
use cccm_sched::{Conditions, Denoiser, Draws};
use cccm_weights::Parameters;

use crate::embed::{LabelEmbedding, TimeEmbedding};
use crate::layers::{Conv, NormSilu};
use crate::names::{LayerNames, label_prefix};
use crate::resblock::{BlockInputs, Keep, ResBlock};
use crate::{Arch, Tables, UNetConfig};

/// Colour channels of the images.
const IMAGE_CHANNELS: usize = 3;

/// A label-conditioned diffusion U-Net; teacher or student, as its config has it.
///
/// As a [`Denoiser`] it takes its label kinds in order, with indices up to and including the null token, and images whose sides [`UNetConfig::image_divisor`] divides.
#[derive(Clone, Debug)]
pub struct UNet {
    arch: Arch,
    time: TimeEmbedding,
    labels: Vec<LabelEmbedding>,
    tables: Tables,
    pub(crate) head: Conv,
    pub(crate) down: Vec<Layer>,
    pub(crate) middle: [ResBlock; 2],
    pub(crate) up: Vec<Layer>,
    pub(crate) tail: (NormSilu, Conv),
    keep: Keep,
    dtype: DType,
}

#[derive(Clone, Debug)]
pub(crate) enum Layer {
    Block(Box<ResBlock>),
    Downsample(Conv),
    Upsample(Conv),
}

impl UNet {
    /// A network over the tensors of `vb`, which carry the published parameter names.
    ///
    /// # Errors
    /// [`crate::Error::InvalidConfig`] when a value is out of range; [`crate::Error::Candle`] when a tensor is
    /// missing or misshapen.
    pub fn new(cfg: &UNetConfig, tables: Tables, vb: VarBuilder<'_>) -> crate::Result<Self> {
        cfg.validate()?;
        tables.validate()?;
        Ok(Self::build(cfg, tables, &vb)?)
    }

    /// A network whose parameters get gradients.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn trainable(cfg: &UNetConfig, tables: Tables, parameters: &Parameters) -> crate::Result<Self> {
        Self::new(cfg, tables, parameters.tracked())
    }

    /// A network that records no graph. It shares the storage of `parameters`, so that it follows when they are
    /// updated in place: the moving average of a student is one.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn frozen(cfg: &UNetConfig, tables: Tables, parameters: &Parameters) -> crate::Result<Self> {
        Self::new(cfg, tables, parameters.detached())
    }

    /// The same network, which keeps only the results of its blocks for `backward()` and computes the blocks once more
    /// there: about half the memory for activations or less, for the time of one more forward pass. Gradients are equal
    /// to rounding.
    #[must_use]
    pub fn recomputing(self) -> Self {
        Self { keep: Keep::Nothing, ..self }
    }

    /// The same network, whose features are of this dtype: with [`DType::BF16`] they and the convolutions' weights are
    /// rounded to `bf16`, which halves the memory for activations and is what a GPU's tensor cores take. Parameters, and
    /// so their gradients, embeddings, the statistics of norms and sums stay `f32`. So do the first and the
    /// last convolution: at high noise, a rounding error in the input image or in the predicted noise becomes
    /// many times larger in the clean image that is computed from it. On a CPU it is the same arithmetic,
    /// slower than `f32`.
    #[must_use]
    pub fn computing_in(self, dtype: DType) -> Self {
        Self { dtype, ..self }
    }

    /// Null token of each label kind, as [`Conditions::unconditional`] takes them.
    pub fn null_labels(&self) -> Combination {
        self.tables.labels
    }

    fn build(cfg: &UNetConfig, tables: Tables, vb: &VarBuilder<'_>) -> Result<Self> {
        let names = LayerNames(cfg.arch);
        let label = |(kind, count): (usize, &u32)| {
            LabelEmbedding::new(*count as usize, cfg, vb.pp(format!("{}_embedding", label_prefix(kind))))
        };
        let labels = tables.labels.len();
        let levels = &cfg.channel_mult;
        let first = cfg.model_channels;

        let mut channels = first;
        let mut skips = vec![first];
        let mut down = Vec::new();
        for (level, mult) in levels.iter().enumerate() {
            for _ in 0..cfg.num_res_blocks {
                let out = first * mult;
                let vb = vb.pp(names.down(down.len()));
                down.push(Layer::Block(Box::new(ResBlock::new(cfg, labels, (channels, out), vb)?)));
                channels = out;
                skips.push(channels);
            }
            if level + 1 < levels.len() {
                let conv = Conv::new(channels, channels, 3, 2, vb.pp(names.down(down.len())).pp("op"))?;
                down.push(Layer::Downsample(conv));
                skips.push(channels);
            }
        }
        let middle = |index| ResBlock::new(cfg, labels, (channels, channels), vb.pp(names.middle(index)));
        let middle = [middle(0)?, middle(1)?];

        let (up, channels) = Self::build_up(cfg, labels, channels, skips, vb)?;
        let tail = vb.pp(names.tail());
        Ok(Self {
            arch: cfg.arch,
            time: TimeEmbedding::new(tables.timesteps, cfg, vb.pp("time_embedding"))?,
            labels: tables.labels.iter().enumerate().map(label).collect::<Result<_>>()?,
            tables,
            head: Conv::new(IMAGE_CHANNELS, first, 3, 1, vb.pp(names.head()))?,
            down,
            middle,
            up,
            tail: (
                NormSilu::new(cfg.norm_groups, channels, tail.pp("0"))?,
                Conv::new(channels, IMAGE_CHANNELS, 3, 1, tail.pp("2"))?,
            ),
            keep: Keep::Everything,
            dtype: DType::F32,
        })
    }

    /// The way up, and the channels at its end.
    /// - `labels`: how many kinds there are
    /// - `channels`: at its start
    /// - `skips`: channels of the skip connections from the way down; the last one is used first
    fn build_up(
        cfg: &UNetConfig,
        labels: usize,
        mut channels: usize,
        mut skips: Vec<usize>,
        vb: &VarBuilder<'_>,
    ) -> Result<(Vec<Layer>, usize)> {
        let names = LayerNames(cfg.arch);
        let mut up = Vec::new();
        let (mut blocks, mut upsamplers) = (0, 0);
        for (level, mult) in cfg.channel_mult.iter().enumerate().rev() {
            for _ in 0..=cfg.num_res_blocks {
                let (skip, out) = (skips.pop().unwrap_or_default(), cfg.model_channels * mult);
                let vb = vb.pp(names.up_block(blocks, upsamplers));
                up.push(Layer::Block(Box::new(ResBlock::new(cfg, labels, (channels + skip, out), vb)?)));
                channels = out;
                blocks += 1;
            }
            if level > 0 {
                let vb = vb.pp(names.upsampler(blocks, upsamplers)).pp("conv");
                up.push(Layer::Upsample(Conv::new(channels, channels, 3, 1, vb)?));
                upsamplers += 1;
            }
        }
        Ok((up, channels))
    }

    fn forward(&self, x_t: &Tensor, t: &Tensor, conds: &Conditions, draws: Option<&Draws>) -> Result<Tensor> {
        let layout = ImageLayout::fastest_for(x_t);
        let inputs = self.block_inputs(t, conds, draws, layout)?;
        let x = ImageLayout::ChannelsFirst.convert(x_t, layout)?;
        let mut h = self.head.forward(&x, layout)?.to_dtype(self.dtype)?;
        let mut skips = vec![h.clone()];
        for layer in &self.down {
            h = layer.forward(&h, None, &inputs)?;
            skips.push(h.clone());
        }
        for block in &self.middle {
            h = block.forward(&h, None, &inputs)?;
        }
        for layer in &self.up {
            let skip = if matches!(layer, Layer::Block(_)) { skips.pop() } else { None };
            h = layer.forward(&h, skip.as_ref(), &inputs)?;
        }
        let (norm, conv) = &self.tail;
        let h = norm.forward(&h.to_dtype(x_t.dtype())?, layout)?;
        layout.convert(&conv.forward(&h, layout)?, ImageLayout::ChannelsFirst)
    }

    fn block_inputs<'a>(
        &self,
        t: &Tensor,
        conds: &Conditions,
        draws: Option<&'a Draws>,
        layout: ImageLayout,
    ) -> Result<BlockInputs<'a>> {
        let time = self.time.forward(t, conds.w.as_ref())?;
        let (got, want) = (conds.labels.len(), self.labels.len());
        if got != want {
            bail!("the network takes labels of {want} kinds, but got {got}")
        }
        let labels =
            self.labels.iter().zip(&conds.labels).map(|(embedding, labels)| embedding.forward(labels));
        let labels: Vec<Tensor> = labels.collect::<Result<_>>()?;
        let (time, labels) = match self.arch {
            Arch::Unetic => (time, labels.iter().map(Tensor::silu).collect::<Result<_>>()?),
            Arch::Unet => (labels.iter().try_fold(time, |sum, label| sum + label)?, Vec::new()),
        };
        Ok(BlockInputs { time: time.silu()?, labels, draws, keep: self.keep, layout })
    }
}

impl Layer {
    fn forward(&self, x: &Tensor, skip: Option<&Tensor>, inputs: &BlockInputs<'_>) -> Result<Tensor> {
        match self {
            Self::Block(block) => block.forward(x, skip, inputs),
            Self::Downsample(conv) => conv.forward(x, inputs.layout),
            Self::Upsample(conv) => {
                let upsample = {
                    let (conv, layout) = (conv.clone(), inputs.layout);
                    move |x: &[Tensor]| conv.forward(&upsample_nearest_2x(&x[0], layout)?, layout)
                };
                let x = std::slice::from_ref(x);
                match inputs.keep {
                    Keep::Everything => upsample(x),
                    Keep::Nothing => recompute(upsample, x, &conv.parameters()),
                }
            }
        }
    }
}

impl Denoiser for UNet {
    fn predict(&self, x_t: &Tensor, t: &Tensor, conds: &Conditions) -> Result<Tensor> {
        self.forward(x_t, t, conds, None)
    }

    /// With dropout.
    fn predict_training(
        &self,
        x_t: &Tensor,
        t: &Tensor,
        conds: &Conditions,
        draws: &Draws,
    ) -> Result<Tensor> {
        self.forward(x_t, t, conds, Some(draws))
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;
    use cccm_sched::Streams;

    use super::*;

    /// Predictions are the same bits, gradients equal to rounding; the masks of dropout are those of the first time.
    #[test]
    fn recomputing_changes_no_gradient() -> Result<()> {
        for arch in [Arch::Unetic, Arch::Unet] {
            let cfg = UNetConfig {
                arch,
                model_channels: 16,
                channel_mult: vec![1, 2],
                norm_groups: 4,
                dropout: 0.2,
                ..UNetConfig::colored_mnist_32().student(8)
            };
            let (tables, streams, device) = (Tables::new([2, 3]), Streams::new(1), Device::Cpu);
            let parameters = UNet::initial_parameters(&cfg, tables, &streams, &device)
                .map_err(candle_core::Error::wrap)?;
            let network = UNet::trainable(&cfg, tables, &parameters).map_err(candle_core::Error::wrap)?;
            let draws = streams.draws(0, 0..2);
            let x_t = draws.normal("x", &[3, 8, 8])?;
            let t = Tensor::new(&[3u32, 700], &device)?;
            let labels = vec![Tensor::new(&[0u32, 1], &device)?, Tensor::new(&[2u32, 3], &device)?];
            let conds = Conditions::new(labels).with_w(Tensor::new(&[1f32, 2.0], &device)?);
            let run = |network: &UNet| -> Result<_> {
                let prediction = network.predict_training(&x_t, &t, &conds, &draws)?;
                let store = cccm_kernels::backward(&prediction.sqr()?.sum_all()?)?;
                Ok((prediction.flatten_all()?.to_vec1::<f32>()?, store))
            };
            let (want, want_grads) = run(&network)?;
            let (got, got_grads) = run(&network.recomputing())?;
            assert_eq!(got, want);
            for (name, var) in parameters.vars() {
                let [got, want] = [&got_grads, &want_grads].map(|store| store.get(var).cloned());
                let (Some(got), Some(want)) = (got, want) else {
                    candle_core::bail!("`{name}` has no gradient")
                };
                let largest = |t: &Tensor| t.abs()?.max_all()?.to_scalar::<f32>();
                let (off, scale) = (largest(&(got - &want)?)?, largest(&want)?);
                assert!(scale > 0.0 && off <= 1e-4 * scale, "{arch:?} {name}: off by {off} of {scale}");
            }
        }
        Ok(())
    }

    #[test]
    fn indices_beyond_the_tables_are_named() -> Result<()> {
        let cfg = UNetConfig { model_channels: 8, channel_mult: vec![1], ..UNetConfig::colored_mnist_32() };
        let (tables, device) = (Tables::new([2, 3]), Device::Cpu);
        let parameters = UNet::initial_parameters(&cfg, tables, &Streams::new(1), &device)
            .map_err(candle_core::Error::wrap)?;
        let network = UNet::frozen(&cfg, tables, &parameters).map_err(candle_core::Error::wrap)?;
        let x_t = Tensor::zeros((1, 3, 4, 4), DType::F32, &device)?;
        let predict = |t: u32, attribute: u32, object: u32| -> Result<Tensor> {
            let labels = [attribute, object].map(|label| Tensor::new(&[label], &device));
            let labels = labels.into_iter().collect::<Result<Vec<_>>>()?;
            network.predict(&x_t, &Tensor::new(&[t], &device)?, &Conditions::new(labels))
        };
        predict(999, 2, 3)?;
        for (got, words) in [
            (predict(1000, 0, 0), "timestep 1000 is not in 0..=999"),
            (predict(0, 3, 0), "label 3 is not in 0..=2"),
            (predict(0, 0, u32::MAX), "label 4294967295 is not in 0..=3"),
        ] {
            let error = got.unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
        Ok(())
    }
}
