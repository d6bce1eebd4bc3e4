//! Gradients of the convolution, each computed only for an argument that tracks one.

use candle_core::{Device, Result, Tensor};

#[cfg(feature = "cudnn")]
use super::cudnn;
use super::{Conv2d, cpu};
use crate::backward::hand_over;
use crate::storage::read;

impl Conv2d {
    pub(super) fn grad_x(&self, x: &Tensor, weight: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        if !x.track_op() {
            return Ok(None);
        }
        #[cfg(feature = "cudnn")]
        if dy.device().is_cuda() {
            return hand_over(x, cudnn::grad_x(&self.geometry, x, weight, dy)?);
        }
        let (weight, dy) = (read(weight), read(dy));
        let (weight, dy) = (weight.as_f32()?, dy.as_f32()?);
        let gradient = cpu::grad_x(&self.geometry, self.isa, weight, dy);
        hand_over(x, Tensor::from_vec(gradient, x.shape(), &Device::Cpu)?)
    }

    pub(super) fn grad_weight(&self, x: &Tensor, weight: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        if !weight.track_op() {
            return Ok(None);
        }
        #[cfg(feature = "cudnn")]
        if dy.device().is_cuda() {
            return hand_over(weight, cudnn::grad_weight(&self.geometry, x, weight, dy)?);
        }
        let (x, dy) = (read(x), read(dy));
        let (x, dy) = (x.as_f32()?, dy.as_f32()?);
        let gradient = cpu::grad_weight(&self.geometry, self.isa, x, dy);
        hand_over(weight, Tensor::from_vec(gradient, weight.shape(), &Device::Cpu)?)
    }

    /// Sum of `dy` over the pixels, and over the samples unless each has its own bias.
    pub(super) fn grad_bias(&self, bias: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        if !bias.track_op() {
            return Ok(None);
        }
        let g = &self.geometry;
        #[cfg(feature = "cudnn")]
        if dy.device().is_cuda() {
            return hand_over(bias, cudnn::grad_bias(g, bias, dy)?);
        }
        let dy = read(dy);
        let dy = dy.as_f32()?;
        let per_sample =
            Tensor::from_vec(cpu::plane_sums(g.out_pixels(), dy), (g.batch, g.c_out), &Device::Cpu)?;
        hand_over(bias, if bias.rank() == 1 { per_sample.sum(0)? } else { per_sample })
    }
}
