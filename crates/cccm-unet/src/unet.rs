//! The network: way down, middle, way up, with skips between.

use candle_core::{Result, Tensor, bail};
use candle_nn::VarBuilder;
use cccm_kernels::upsample_nearest_2x;
use cccm_sched::{Conditions, Denoiser, Draws};

use crate::embed::{LabelEmbedding, TimeEmbedding};
use crate::layers::{Conv, NormSilu};
use crate::names::{LABELS, LayerNames};
use crate::resblock::{BlockInputs, ResBlock};
use crate::{Arch, Parameters, Tables, UNetConfig};

/// Colour channels of the images.
const IMAGE_CHANNELS: usize = 3;

/// A label-conditioned diffusion U-Net; teacher or student, as its config has it.
///
/// As a [`Denoiser`] it takes two label kinds, attribute and object, with indices up to and including the null
/// token, and images whose sides [`UNetConfig::image_divisor`] divides.
#[derive(Clone, Debug)]
pub struct UNet {
    arch: Arch,
    time: TimeEmbedding,
    labels: [LabelEmbedding; 2],
    tables: Tables,
    head: Conv,
    down: Vec<Layer>,
    middle: [ResBlock; 2],
    up: Vec<Layer>,
    tail: (NormSilu, Conv),
}

#[derive(Clone, Debug)]
enum Layer {
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

    /// Null token of each label kind, as [`Conditions::unconditional`] takes them.
    pub fn null_labels(&self) -> [u32; 2] {
        self.tables.labels.map(|count| count as u32)
    }

    fn build(cfg: &UNetConfig, tables: Tables, vb: &VarBuilder<'_>) -> Result<Self> {
        let names = LayerNames(cfg.arch);
        let label = |kind: usize| {
            LabelEmbedding::new(tables.labels[kind], cfg, vb.pp(format!("{}_embedding", LABELS[kind])))
        };
        let levels = &cfg.channel_mult;
        let first = cfg.model_channels;

        let mut channels = first;
        let mut skips = vec![first];
        let mut down = Vec::new();
        for (level, mult) in levels.iter().enumerate() {
            for _ in 0..cfg.num_res_blocks {
                let out = first * mult;
                down.push(Layer::Block(Box::new(ResBlock::new(
                    cfg,
                    channels,
                    out,
                    vb.pp(names.down(down.len())),
                )?)));
                channels = out;
                skips.push(channels);
            }
            if level + 1 < levels.len() {
                let conv = Conv::new(channels, channels, 3, 2, vb.pp(names.down(down.len())).pp("op"))?;
                down.push(Layer::Downsample(conv));
                skips.push(channels);
            }
        }
        let middle = |index| ResBlock::new(cfg, channels, channels, vb.pp(names.middle(index)));
        let middle = [middle(0)?, middle(1)?];

        let mut up = Vec::new();
        let (mut blocks, mut upsamplers) = (0, 0);
        for (level, mult) in levels.iter().enumerate().rev() {
            for _ in 0..=cfg.num_res_blocks {
                let (skip, out) = (skips.pop().unwrap_or_default(), first * mult);
                let vb = vb.pp(names.up_block(blocks, upsamplers));
                up.push(Layer::Block(Box::new(ResBlock::new(cfg, channels + skip, out, vb)?)));
                channels = out;
                blocks += 1;
            }
            if level > 0 {
                let vb = vb.pp(names.upsampler(blocks, upsamplers)).pp("conv");
                up.push(Layer::Upsample(Conv::new(channels, channels, 3, 1, vb)?));
                upsamplers += 1;
            }
        }
        let tail = vb.pp(names.tail());
        Ok(Self {
            arch: cfg.arch,
            time: TimeEmbedding::new(tables.timesteps, cfg, vb.pp("time_embedding"))?,
            labels: [label(0)?, label(1)?],
            tables,
            head: Conv::new(IMAGE_CHANNELS, first, 3, 1, vb.pp(names.head()))?,
            down,
            middle,
            up,
            tail: (
                NormSilu::new(cfg.norm_groups, channels, tail.pp("0"))?,
                Conv::new(channels, IMAGE_CHANNELS, 3, 1, tail.pp("2"))?,
            ),
        })
    }

    fn forward(&self, x_t: &Tensor, t: &Tensor, conds: &Conditions, draws: Option<&Draws>) -> Result<Tensor> {
        let inputs = self.block_inputs(t, conds, draws)?;
        let mut h = self.head.forward(x_t)?;
        let mut skips = vec![h.clone()];
        for layer in &self.down {
            h = layer.forward(&h, &inputs)?;
            skips.push(h.clone());
        }
        for block in &self.middle {
            h = block.forward(&h, &inputs)?;
        }
        for layer in &self.up {
            if let (Layer::Block(_), Some(skip)) = (layer, skips.last()) {
                h = Tensor::cat(&[&h, skip], 1)?;
                skips.pop();
            }
            h = layer.forward(&h, &inputs)?;
        }
        let (norm, conv) = &self.tail;
        conv.forward(&norm.forward(&h)?)
    }

    fn block_inputs<'a>(
        &self,
        t: &Tensor,
        conds: &Conditions,
        draws: Option<&'a Draws>,
    ) -> Result<BlockInputs<'a>> {
        let time = self.time.forward(t, conds.w.as_ref())?;
        let [atr, obj] = conds.labels.as_slice() else {
            bail!("the network takes 2 label kinds, attribute and object, but got {}", conds.labels.len())
        };
        let (atr, obj) = (self.labels[0].forward(atr)?, self.labels[1].forward(obj)?);
        Ok(match self.arch {
            Arch::Unetic => BlockInputs { time: time.silu()?, labels: [atr.silu()?, obj.silu()?], draws },
            Arch::Unet => BlockInputs { time: ((time + &atr)? + &obj)?.silu()?, labels: [atr, obj], draws },
        })
    }
}

impl Layer {
    fn forward(&self, x: &Tensor, inputs: &BlockInputs<'_>) -> Result<Tensor> {
        match self {
            Self::Block(block) => block.forward(x, inputs),
            Self::Downsample(conv) => conv.forward(x),
            Self::Upsample(conv) => conv.forward(&upsample_nearest_2x(x)?),
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
