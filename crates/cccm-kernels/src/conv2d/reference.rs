//! The same convolution in candle's own operations: for other dtypes and devices, and to test against.

use candle_core::{Result, Tensor};

use super::Geometry;

pub(super) fn conv2d(g: &Geometry, x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    let y = if g.stride == 1 {
        x.conv2d(weight, g.padding, 1, 1, 1)?
    } else {
        // candle's backward takes the rows and columns that the last step of a stride does not reach from the height
        // alone. Padded and cut to what is reached, there are none.
        let reached = |out: usize| (out - 1) * g.stride + g.k;
        x.pad_with_zeros(2, g.padding, g.padding)?
            .pad_with_zeros(3, g.padding, g.padding)?
            .narrow(2, 0, reached(g.out_h()))?
            .narrow(3, 0, reached(g.out_w()))?
            .contiguous()?
            .conv2d(weight, 0, g.stride, 1, 1)?
    };
    match bias {
        None => Ok(y),
        Some(bias) => y.broadcast_add(&bias.reshape(((), g.c_out, 1, 1))?),
    }
}
