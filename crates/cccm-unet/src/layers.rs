//! Layers with PyTorch's names and initial values.

use candle_core::{Result, Tensor};
use candle_nn::{Init, VarBuilder};
use cccm_kernels::{Conv2dConfig, GroupNormConfig, ImageLayout, conv2d, group_norm_silu};

/// Epsilon of every normalisation, PyTorch's default.
const NORM_EPS: f64 = 1e-5;

/// PyTorch's default for convolutions and linear layers, weight and bias: uniform on ±1/√`fan_in`.
pub(crate) fn fan_in_uniform(fan_in: usize) -> Init {
    let bound = 1.0 / (fan_in as f64).sqrt();
    Init::Uniform { lo: -bound, up: bound }
}

/// `y = x Wᵀ + b`.
#[derive(Clone, Debug)]
pub(crate) struct Linear {
    weight: Tensor,
    bias: Tensor,
}

impl Linear {
    pub(crate) fn new(inputs: usize, outputs: usize, vb: VarBuilder<'_>) -> Result<Self> {
        let init = fan_in_uniform(inputs);
        Ok(Self {
            weight: vb.get_with_hints((outputs, inputs), "weight", init)?,
            bias: vb.get_with_hints(outputs, "bias", init)?,
        })
    }

    /// Weight and bias.
    pub(crate) fn parameters(&self) -> [Tensor; 2] {
        [self.weight.clone(), self.bias.clone()]
    }

    /// - `x`: `(batch, inputs)`; result: `(batch, outputs)`
    pub(crate) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        x.matmul(&self.weight.t()?)?.broadcast_add(&self.bias)
    }
}

/// Square convolution that keeps the size, or halves it with stride 2.
#[derive(Clone, Debug)]
pub(crate) struct Conv {
    weight: Tensor,
    bias: Tensor,
    cfg: Conv2dConfig,
}

impl Conv {
    pub(crate) fn new(
        in_channels: usize,
        out_channels: usize,
        kernel: usize,
        stride: usize,
        vb: VarBuilder<'_>,
    ) -> Result<Self> {
        let init = fan_in_uniform(in_channels * kernel * kernel);
        Ok(Self {
            weight: vb.get_with_hints((out_channels, in_channels, kernel, kernel), "weight", init)?,
            bias: vb.get_with_hints(out_channels, "bias", init)?,
            cfg: Conv2dConfig::new(stride, kernel / 2),
        })
    }

    /// Weight and bias.
    pub(crate) fn parameters(&self) -> [Tensor; 2] {
        [self.weight.clone(), self.bias.clone()]
    }

    /// - `x`, result: images in the order of `layout`
    pub(crate) fn forward(&self, x: &Tensor, layout: ImageLayout) -> Result<Tensor> {
        self.forward_with(&self.weight, x, &self.bias, layout)
    }

    /// The convolution plus `shift`, one number per sample and output channel: `(batch, out_channels)`.
    pub(crate) fn forward_shifted(&self, x: &Tensor, shift: &Tensor, layout: ImageLayout) -> Result<Tensor> {
        self.forward_with(&self.weight, x, &shift.broadcast_add(&self.bias)?, layout)
    }

    /// The 1×1 convolution of `[x, map]`, where `map` `(batch, c)` is constant over the image, plus `shift`.
    ///
    /// `W [x, map] = W₁ x + W₂ map`, and the second term is one number per sample and channel: no concatenation,
    /// and half the work.
    pub(crate) fn forward_with_map(
        &self,
        x: &Tensor,
        map: &Tensor,
        shift: &Tensor,
        layout: ImageLayout,
    ) -> Result<Tensor> {
        let (_, map_channels) = map.dims2()?;
        let channels = self.weight.dim(1)?.saturating_sub(map_channels);
        let for_x = self.weight.narrow(1, 0, channels)?;
        let for_map = self.weight.narrow(1, channels, map_channels)?.flatten_from(1)?;
        let shift = (map.matmul(&for_map.t()?)? + shift)?.broadcast_add(&self.bias)?;
        self.forward_with(&for_x, x, &shift, layout)
    }

    fn forward_with(
        &self,
        weight: &Tensor,
        x: &Tensor,
        bias: &Tensor,
        layout: ImageLayout,
    ) -> Result<Tensor> {
        conv2d(x, weight, Some(bias), Conv2dConfig { layout, ..self.cfg })
    }
}

/// Group normalisation followed by SiLU.
#[derive(Clone, Debug)]
pub(crate) struct NormSilu {
    weight: Tensor,
    bias: Tensor,
    groups: usize,
}

impl NormSilu {
    pub(crate) fn new(groups: usize, channels: usize, vb: VarBuilder<'_>) -> Result<Self> {
        Ok(Self {
            weight: vb.get_with_hints(channels, "weight", Init::Const(1.0))?,
            bias: vb.get_with_hints(channels, "bias", Init::Const(0.0))?,
            groups,
        })
    }

    /// Weight and bias.
    pub(crate) fn parameters(&self) -> [Tensor; 2] {
        [self.weight.clone(), self.bias.clone()]
    }

    /// - `x`, result: images in the order of `layout`
    pub(crate) fn forward(&self, x: &Tensor, layout: ImageLayout) -> Result<Tensor> {
        let cfg = GroupNormConfig { groups: self.groups, eps: NORM_EPS, layout };
        group_norm_silu(x, &self.weight, &self.bias, cfg)
    }
}
