//! Gradients of the three arguments, from one pass over the groups.

use candle_core::{Device, Result, Tensor, bail};

use super::cpu::{self, Affine};
#[cfg(feature = "cuda")]
use super::cuda;
use super::{GroupNormSilu, SavedMoments};
use crate::backward::hand_over;
use crate::storage::read;

impl GroupNormSilu {
    pub(super) fn grad(
        &self,
        x: &Tensor,
        weight: &Tensor,
        bias: &Tensor,
        dy: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        #[cfg(feature = "cuda")]
        if let Some(SavedMoments::Cuda(moments)) = self.moments.get() {
            return cuda::backward(&self.sizes, moments, [x, weight, bias, dy]);
        }
        let Some(SavedMoments::Cpu(moments)) = self.moments.get() else {
            bail!("group_norm_silu: backward without a forward");
        };
        let [dx, dw, db] = {
            let [x, weight, bias, dy] = [x, weight, bias, dy].map(read);
            let affine = Affine { weight: weight.as_f32()?, bias: bias.as_f32()? };
            cpu::backward(self.isa, &self.sizes, moments, x.as_f32()?, affine, dy.as_f32()?)
        };
        let tensor = |arg: &Tensor, grad: Vec<f32>| {
            if !arg.track_op() {
                return Ok(None);
            }
            hand_over(arg, Tensor::from_vec(grad, arg.shape(), &Device::Cpu)?)
        };
        Ok((tensor(x, dx)?, tensor(weight, dw)?, tensor(bias, db)?))
    }
}
