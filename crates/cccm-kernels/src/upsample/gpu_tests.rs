//! The kernels for GPUs, run on the CPU.
#![expect(unsafe_code, reason = "launches kernels")]

use candle_core::{Device, Result, Tensor};

use super::gpu::{Direction, launch};
use super::reference;
use crate::ImageLayout::{ChannelsFirst, ChannelsLast};
use crate::gpu::Elements;
use crate::gpu::shim::{Shim, Values};
use crate::testing::{assert_close, value_and_grads, values};

#[test]
fn kernels_match_the_reference() -> Result<()> {
    let Some(shim) = Shim::new() else { return Ok(()) };
    for shape in [[1, 1, 1, 1], [2, 3, 5, 7], [1, 8, 4, 3]] {
        for (elements, tolerance) in [(Elements::F32, 1e-6), (Elements::Bf16, 1e-2)] {
            let x = values(&shape, 1)?;
            let (y, grads) =
                value_and_grads(&|args| reference::upsample_nearest_2x(&args[0]), std::slice::from_ref(&x))?;
            let direction = ChannelsFirst.convert(&values(y.dims(), 99)?, ChannelsLast)?;
            let of =
                |t: &Tensor| Ok::<_, candle_core::Error>(Values::new(elements, &t.flatten_all()?.to_vec1()?));
            let (mut small, mut dy) = (of(&ChannelsFirst.convert(&x, ChannelsLast)?)?, of(&direction)?);
            let mut large = Values::unwritten(elements, y.elem_count());
            let mut dx = Values::unwritten(elements, x.elem_count());
            let sizes = ChannelsFirst.sizes("test", &x)?;
            // SAFETY: all of the sizes' lengths.
            unsafe {
                launch(&shim, Direction::Up, sizes, elements, small.pointer(), large.pointer())?;
                launch(&shim, Direction::Gradient, sizes, elements, dx.pointer(), dy.pointer())?;
            }
            for (what, got, want) in [("value", large, &y), ("gradient", dx, &grads[0])] {
                let (batch, channels, h, w) = want.dims4()?;
                let got = Tensor::from_vec(got.to_f32(), (batch, h, w, channels), &Device::Cpu)?;
                let got = ChannelsLast.convert(&got, ChannelsFirst)?;
                assert_close(&format!("{what} of {shape:?}, {elements:?}"), &got, want, tolerance);
            }
        }
    }
    Ok(())
}
